"""Separation of an image's content from its background."""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

# A smaller range of intensities, which are normalised to [0, 1], is rounding error.
_TINY = 1e-5
# The background is bright if at least this share of the outermost voxels lies this close to the largest value.
BRIGHT_BORDER_SHARE, BRIGHT_MARGIN = 0.95, 0.1


def foreground(image: np.ndarray, smoothing: float = 0.6) -> np.ndarray:
    """A mask of the voxels brighter than half of Otsu's threshold, with its holes filled; empty for a constant image.

    Where nearly all of the outermost voxels are close to the largest value, the background is bright, as in histology,
    and the image is inverted first.

    Args:
        image: float `[*spatial]`, normalised to [0, 1].
        smoothing: standard deviation, in voxels, of the Gaussian that is applied first.

    Returns:
        Bool `[*spatial]`.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import metrics
    >>> image = np.zeros((9, 9))
    >>> image[3:6, 3:6] = 1.0
    >>> bool(metrics.foreground(image)[4, 4]), bool(metrics.foreground(image)[0, 0])
    (True, False)
    """
    smooth = ndimage.gaussian_filter(image, smoothing)
    if np.ptp(smooth) < _TINY:
        return np.zeros(image.shape, bool)
    smooth = smooth.max() - smooth if _has_bright_background(smooth) else smooth
    return ndimage.binary_fill_holes(smooth > 0.5 * threshold_otsu(smooth))


def _has_bright_background(image: np.ndarray) -> bool:
    outermost = np.concatenate([np.take(image, (0, -1), axis).ravel() for axis in range(image.ndim)])
    bright = image.max() - BRIGHT_MARGIN * np.ptp(image)
    return bool(np.mean(outermost >= bright) >= BRIGHT_BORDER_SHARE)
