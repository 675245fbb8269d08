"""How alike two images are."""

import numpy as np


def correlation(first, second) -> float:
    """Pearson's correlation of two images; NaN if one is constant."""
    first, second = (np.asarray(image, "float64").ravel() for image in (first, second))
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / scale) if scale > 0 else float("nan")
