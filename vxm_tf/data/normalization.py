"""Named ways to bring image intensities into [0, 1], which networks expect."""

import numpy as np


def percentile(image):
    """The 0.5th percentile becomes 0, the 99.5th 1, and what lies beyond is clipped."""
    low, high = np.percentile(image, (0.5, 99.5))
    if high <= low:
        return minmax(image)
    return np.clip((image - low) / (high - low), 0.0, 1.0).astype("float32")


def minmax(image):
    """The smallest value becomes 0 and the largest 1."""
    low, high = float(image.min()), float(image.max())
    return ((image - low) / (high - low)).astype("float32")


# 99.5th percentile of the test scan that came with VoxelMorph's networks of 2018: 114 of 255, white matter at 103.
FREESURFER_BRIGHT = 114 / 255


def freesurfer(image):
    """Scaled to the brightness of FreeSurfer's norm.mgz over 255, on which the networks of 2018 were trained.

    Zero stays zero and the 99.5th percentile becomes 114/255, so such an image stays as it is.
    """
    bright = float(np.percentile(image, 99.5))
    return minmax(image) if bright <= 0 else (image * (FREESURFER_BRIGHT / bright)).astype("float32")


def none(image):
    """As stored: for images that are in [0, 1] already."""
    return image.astype("float32")


NORMALIZATIONS = {"percentile": percentile, "minmax": minmax, "freesurfer": freesurfer, "none": none}


def normalize(image, name: str):
    """`image` normalised by the method of that name, each channel on its own.

    Args:
        image: `[*spatial, channels]`, any intensities.
        name: a key of `NORMALIZATIONS`.

    Returns:
        float32, the same shape.

    Raises:
        ValueError: unknown name.
    """
    if name not in NORMALIZATIONS:
        raise ValueError(f"There is no normalisation {name!r}; choose one of {', '.join(NORMALIZATIONS)}.")
    method = NORMALIZATIONS[name]
    # A constant channel beside others that vary carries nothing to align; only it is left at zero.
    channels = [image[..., c] for c in range(image.shape[-1])]
    return np.stack([method(c) if c.min() < c.max() else np.zeros_like(c) for c in channels], axis=-1)
