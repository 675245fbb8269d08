"""What tells how far off a registration may be at each voxel: its spread, and what image and displacement look like."""

import numpy as np
from scipy import ndimage

from vxm_tf.data.warping import warp_array
from vxm_tf.metrics import local_correlation

# Nothing below is told apart, in voxels for lengths.
FLOOR = 1e-3
# Standard deviations of Gaussians, in voxels.
DERIVATIVE, WINDOW, COARSE = 1.0, 2.0, 8.0


def error_features(moving, fixed, displacement, spread) -> dict:
    """Maps from which a `Calibration` finds how large an error is likely.

    Source: the regression of Sokooti et al., Medical Image Analysis 2019, from the spread of registrations and from
    local measures of image and field, with fewer of them.

    Args:
        moving, fixed: float `[*spatial, channels]`, normalised, on one grid.
        displacement: `[*spatial, ndim]`, in voxels.
        spread: `[*spatial]`, standard deviation of the displacement, in voxels.

    Returns:
        {name: float32 `[*spatial]`}, logarithms: "spread"; "detail", the length of what smoothing takes away from the
        displacement; "misfit", how badly moved and fixed correlate; "edge" and "texture", the fixed image's gradients
        in the direction where they are strongest and where they are weakest: without texture nothing shows a
        displacement along an edge.
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


def _log(values, smoothing=0.0):
    values = np.log(np.maximum(values, 0.0) + FLOOR).astype("float32")
    return ndimage.gaussian_filter(values, smoothing) if smoothing else values


def _detail(displacement):
    smooth = [ndimage.gaussian_filter(part, COARSE) for part in np.moveaxis(displacement, -1, 0)]
    return np.linalg.norm(displacement - np.stack(smooth, axis=-1), axis=-1)


def _gradients(image):
    """(smallest, largest) root mean square derivative around each voxel, of all directions."""
    directions = np.eye(image.ndim, dtype=int)
    derivatives = [ndimage.gaussian_filter(image, DERIVATIVE, order=order) for order in directions]
    products = [[ndimage.gaussian_filter(a * b, WINDOW) for a in derivatives] for b in derivatives]
    squares = np.linalg.eigvalsh(np.moveaxis(np.array(products), (0, 1), (-2, -1)))
    return tuple(np.sqrt(np.maximum(squares[..., which], 0.0)) for which in (0, -1))
