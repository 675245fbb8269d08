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
    moving: np.ndarray,
    fixed: np.ndarray,
    displacement: np.ndarray,
    spread: np.ndarray,
    linear: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Maps from which a `Calibration` predicts the likely size of the error.

    Source: the regression of Sokooti et al., Medical Image Analysis 2019, on the spread of registrations and on local
    measures of image and field; here with fewer measures.

    Args:
        moving, fixed: float `[*spatial, channels]`, normalised, on one grid.
        displacement: `[*spatial, ndim]`, in voxels.
        spread: `[*spatial]`, standard deviation of the displacement, in mean voxel sizes.
        linear: `[ndim, ndim]` matrix from voxels to mean voxel sizes; None where voxels are cubes.

    Returns:
        {name: float32 `[*spatial]`}, the logarithms of: "spread"; "detail", the length of the displacement's fine part,
        which smoothing removes; "misfit", one minus the local correlation of moved and fixed image; "edge" and
        "texture", the fixed image's gradient in the direction where it is strongest and where it is weakest (without
        texture nothing shows a displacement along an edge). Of several channels, the misfit is the mean over the
        channels, and the gradients are those of all channels together (root of the mean squares; Di Zenzo, CVGIP 1986).
    """
    moved = warp_array(np.asarray(moving, "float32"), np.asarray(displacement, "float32"))
    channels = [np.moveaxis(np.asarray(image, "float32"), -1, 0) for image in (moved, fixed)]
    correlation = _correlation(*channels)
    along, across = _gradients(channels[1])
    lengths = displacement if linear is None else displacement @ np.asarray(linear, "float32").T
    return {
        "spread": _log(spread, 2.0),
        "detail": _log(_detail(lengths), 4.0),
        "misfit": _log(1.0 - correlation, COARSE),
        "texture": _log(along),
        "edge": _log(across, 2.0),
    }


def _correlation(moved: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Mean local correlation of each channel of `fixed` with the same one of `moved`, both `[channels, *spatial]`.

    Images with unlike numbers of channels have no matching ones; each channel's best correlation counts.
    """
    if len(moved) == len(fixed):
        return np.mean([local_correlation(*both, WINDOW) for both in zip(moved, fixed, strict=True)], axis=0)
    best = [np.max([local_correlation(one, other, WINDOW) for one in moved], axis=0) for other in fixed]
    return np.mean(best, axis=0)


def _log(values: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Logarithm above `FLOOR`, smoothed by a Gaussian of that standard deviation in voxels."""
    values = np.log(np.maximum(values, 0.0) + FLOOR).astype("float32")
    return ndimage.gaussian_filter(values, smoothing) if smoothing else values


def _detail(displacement: np.ndarray) -> np.ndarray:
    """Length of the difference between a displacement and its smoothed copy, `[*spatial]`."""
    smooth = [ndimage.gaussian_filter(part, COARSE) for part in np.moveaxis(displacement, -1, 0)]
    return np.linalg.norm(displacement - np.stack(smooth, axis=-1), axis=-1)


def _gradients(channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(smallest, largest) root mean square derivative of `[channels, *spatial]` around each voxel, over directions."""
    squares = np.linalg.eigvalsh(np.mean([_products(channel) for channel in channels], axis=0))
    return np.sqrt(np.maximum(squares[..., 0], 0.0)), np.sqrt(np.maximum(squares[..., -1], 0.0))


def _products(image: np.ndarray) -> np.ndarray:
    """Local means of the products of an image's derivatives, `[*spatial, ndim, ndim]`."""
    directions = np.eye(image.ndim, dtype=int)
    derivatives = [ndimage.gaussian_filter(image, DERIVATIVE, order=order) for order in directions]
    products = [[ndimage.gaussian_filter(a * b, WINDOW) for a in derivatives] for b in derivatives]
    return np.moveaxis(np.array(products), (0, 1), (-2, -1))
