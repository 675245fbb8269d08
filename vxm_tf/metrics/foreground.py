"""What an image shows, apart from its background."""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

# Of intensities from 0 to 1: less contrast is only rounding.
_TINY = 1e-5


def foreground(image: np.ndarray, smoothing: float = 0.6) -> np.ndarray:
    """Bool `[*spatial]`: what is brighter than half of Otsu's threshold, holes filled; nothing of a constant image.

    Args:
        image: float `[*spatial]`, normalised to [0, 1].
        smoothing: standard deviation of the Gaussian before, in voxels.

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
    return ndimage.binary_fill_holes(smooth > 0.5 * threshold_otsu(smooth))
