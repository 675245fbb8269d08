"""Correlation of two images, over the whole image or around each voxel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

# Added to variances of intensities from 0 to 1; smaller variances are rounding errors.
_TINY = 1e-5


def correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Pearson's correlation of two images, -1 to 1; NaN if one is constant.

    Args:
        first: image of any shape.
        second: image with as many values as `first`.
    """
    a, b = (np.asarray(image, "float64").ravel() for image in (first, second))
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else float("nan")


def local_correlation(first: np.ndarray, second: np.ndarray, sigma: float | Sequence[float]) -> np.ndarray:
    """Correlation under a Gaussian window around each voxel, -1 to 1; 0 where an image is flat.

    Args:
        first: float `[*spatial]`, intensities of the order of 1.
        second: float, the shape of `first`.
        sigma: standard deviation of the window, in voxels; one for all axes, or one for each.

    Returns:
        Float `[*spatial]`.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import metrics
    >>> image = np.random.default_rng(0).random((16, 16))
    >>> bool((metrics.local_correlation(image, 1.0 - image, 2.0) < -0.99).all())
    True
    """

    def mean(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image, sigma)

    centres = mean(first), mean(second)
    variances = [np.maximum(mean(x * x) - c * c, 0.0) + _TINY for x, c in zip((first, second), centres, strict=True)]
    return (mean(first * second) - centres[0] * centres[1]) / np.sqrt(variances[0] * variances[1])
