"""How alike two images are."""

import numpy as np
from scipy import ndimage

# Of variances of intensities from 0 to 1: below is only rounding.
_TINY = 1e-5


def correlation(first, second) -> float:
    """Pearson's correlation of two images; NaN if one is constant."""
    first, second = (np.asarray(image, "float64").ravel() for image in (first, second))
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / scale) if scale > 0 else float("nan")


def local_correlation(first, second, sigma: float) -> np.ndarray:
    """Correlation under a Gaussian window around each voxel, -1 to 1; 0 where an image is flat.

    Args:
        first, second: float `[*spatial]`, of the order of 1.
        sigma: standard deviation of the window, in voxels.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import metrics
    >>> image = np.random.default_rng(0).random((16, 16))
    >>> bool((metrics.local_correlation(image, 1.0 - image, 2.0) < -0.99).all())
    True
    """

    def mean(image):
        return ndimage.gaussian_filter(image, sigma)

    centres = mean(first), mean(second)
    variances = [np.maximum(mean(x * x) - c * c, 0.0) + _TINY for x, c in zip((first, second), centres, strict=True)]
    return (mean(first * second) - centres[0] * centres[1]) / np.sqrt(variances[0] * variances[1])
