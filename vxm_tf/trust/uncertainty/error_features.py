"""Local features that predict a registration's error: its spread, and measures of image and displacement."""

import numpy as np
from scipy import ndimage

from vxm_tf.data.warping import warp_array
from vxm_tf.metrics import local_correlation

# Added to every feature before its logarithm; in voxels for lengths.
FLOOR = 1e-3
# Standard deviations of Gaussians for derivatives, for local means, and for the coarsest maps, in voxels.
DERIVATIVE, WINDOW, COARSE = 1.0, 2.0, 8.0


def error_features(
    moving: np.ndarray, fixed: np.ndarray, displacement: np.ndarray, spread: np.ndarray
) -> dict[str, np.ndarray]:
    """Maps from which a `Calibration` predicts the likely size of the error.

    Source: the regression of Sokooti et al., Medical Image Analysis 2019, on the spread of registrations and on local
    measures of image and field; here with fewer measures.

    Args:
        moving, fixed: float `[*spatial, channels]`, normalised, on one grid.
        displacement: `[*spatial, ndim]`, in voxels.
        spread: `[*spatial]`, standard deviation of the displacement, in voxels.

    Returns:
        {name: float32 `[*spatial]`}, the logarithms of: "spread"; "detail", the length of the displacement's fine part,
        which smoothing removes; "misfit", one minus the local correlation of moved and fixed image; "edge" and
        "texture", the fixed image's gradient in the direction where it is strongest and where it is weakest (without
        texture nothing shows a displacement along an edge).
    """
    moved = warp_array(np.asarray(moving, "float32"), np.asarray(displacement, "float32"))
    moved, fixed = (np.asarray(image, "float32").mean(axis=-1) for image in (moved, fixed))
    along, across = _gradients(fixed)
    return {
        "spread": _log(spread, 2.0),
        "detail": _log(_detail(displacement), 4.0),
        "misfit": _log(1.0 - local_correlation(moved, fixed, WINDOW), COARSE),
        "texture": _log(along),
        "edge": _log(across, 2.0),
    }


def _log(values: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Logarithm above `FLOOR`, smoothed by a Gaussian of that standard deviation in voxels."""
    values = np.log(np.maximum(values, 0.0) + FLOOR).astype("float32")
    return ndimage.gaussian_filter(values, smoothing) if smoothing else values


def _detail(displacement: np.ndarray) -> np.ndarray:
    """Length of the difference between a displacement and its smoothed copy, `[*spatial]`."""
    smooth = [ndimage.gaussian_filter(part, COARSE) for part in np.moveaxis(displacement, -1, 0)]
    return np.linalg.norm(displacement - np.stack(smooth, axis=-1), axis=-1)


def _gradients(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(smallest, largest) root mean square derivative around each voxel, over all directions."""
    directions = np.eye(image.ndim, dtype=int)
    derivatives = [ndimage.gaussian_filter(image, DERIVATIVE, order=order) for order in directions]
    products = [[ndimage.gaussian_filter(a * b, WINDOW) for a in derivatives] for b in derivatives]
    squares = np.linalg.eigvalsh(np.moveaxis(np.array(products), (0, 1), (-2, -1)))
    return np.sqrt(np.maximum(squares[..., 0], 0.0)), np.sqrt(np.maximum(squares[..., -1], 0.0))
