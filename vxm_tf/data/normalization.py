"""Methods, chosen by name, that bring image intensities into [0, 1], which networks expect."""

from collections.abc import Callable

import numpy as np


def percentile(image: np.ndarray) -> np.ndarray:
    """Scale so that the 0.5th percentile becomes 0 and the 99.5th 1, and clip values beyond them."""
    low, high = np.percentile(image, (0.5, 99.5))
    if high <= low:
        return minmax(image)
    return np.clip((image - low) / (high - low), 0.0, 1.0).astype("float32")


def minmax(image: np.ndarray) -> np.ndarray:
    """Scale so that the smallest value becomes 0 and the largest 1."""
    low, high = float(image.min()), float(image.max())
    return ((image - low) / (high - low)).astype("float32")


# In the test scan published with VoxelMorph's networks of 2018 the 99.5th percentile is 114 of 255, white matter 103.
FREESURFER_BRIGHT = 114 / 255


def freesurfer(image: np.ndarray) -> np.ndarray:
    """Scale to the brightness of FreeSurfer's norm.mgz over 255, on which the networks of 2018 were trained.

    Zero stays zero and the 99.5th percentile becomes 114/255, so a norm.mgz divided by 255 hardly changes.
    """
    bright = float(np.percentile(image, 99.5))
    return minmax(image) if bright <= 0 else (image * (FREESURFER_BRIGHT / bright)).astype("float32")


def none(image: np.ndarray) -> np.ndarray:
    """Keep intensities as stored, for images that are in [0, 1] already."""
    return image.astype("float32")


NORMALIZATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "percentile": percentile,
    "minmax": minmax,
    "freesurfer": freesurfer,
    "none": none,
}


def normalize(image: np.ndarray, name: str) -> np.ndarray:
    """An image normalised by a named method, each channel on its own; a constant channel becomes 0.

    Args:
        image: `[*spatial, channels]`, any intensities.
        name: a key of `NORMALIZATIONS`.

    Returns:
        float32, the shape of `image`.

    Raises:
        ValueError: unknown name.
    """
    if name not in NORMALIZATIONS:
        raise ValueError(f"There is no normalisation {name!r}; choose one of {', '.join(NORMALIZATIONS)}.")
    method = NORMALIZATIONS[name]
    # A constant channel among others that vary shows nothing to align and has no range to scale by.
    channels = [image[..., c] for c in range(image.shape[-1])]
    return np.stack([method(c) if c.min() < c.max() else np.zeros_like(c) for c in channels], axis=-1)
