"""Methods, chosen by name, that bring image intensities into [0, 1], which networks expect."""

from collections.abc import Callable

import numpy as np

PERCENTILES = (0.5, 99.5)


def percentile(image: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Scale so that the 0.5th percentile of the counted values becomes 0 and the 99.5th 1, and clip values beyond."""
    low, high = np.percentile(counted, PERCENTILES)
    if high <= low:
        return minmax(image, counted)
    return np.clip((image - low) / (high - low), 0.0, 1.0).astype("float32")


def minmax(image: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Scale so that the smallest counted value becomes 0 and the largest 1, and clip values beyond."""
    low, high = float(counted.min()), float(counted.max())
    return np.clip((image - low) / (high - low), 0.0, 1.0).astype("float32")


# In the test scan published with VoxelMorph's networks of 2018 the 99.5th percentile is 114 of 255, white matter 103.
FREESURFER_BRIGHT = 114 / 255


def freesurfer(image: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Scale to the brightness of FreeSurfer's norm.mgz over 255, on which the networks of 2018 were trained.

    Zero stays zero and the 99.5th percentile becomes 114/255, so a norm.mgz divided by 255 hardly changes.
    """
    bright = float(np.percentile(counted, PERCENTILES[1]))
    return minmax(image, counted) if bright <= 0 else (image * (FREESURFER_BRIGHT / bright)).astype("float32")


def none(image: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Keep intensities as stored, for images that are in [0, 1] already."""
    return image.astype("float32")


NORMALIZATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "percentile": percentile,
    "minmax": minmax,
    "freesurfer": freesurfer,
    "none": none,
}


# Methods that keep zero where it is, so that zero stays the darkest value of images without negative ones.
KEEPING_ZERO = ("freesurfer", "none")


def normalize(image: np.ndarray, name: str, inside: np.ndarray | None = None) -> np.ndarray:
    """An image normalised by a named method, each channel on its own; a constant channel becomes 0.

    Args:
        image: `[*spatial, channels]`, any intensities.
        name: a key of `NORMALIZATIONS`.
        inside: mask bool `[*spatial]` of the voxels whose percentiles or extremes set the scale; None for all voxels.

    Returns:
        float32, the shape of `image`.

    Raises:
        ValueError: unknown name.
    """
    _check_name(name)
    method = NORMALIZATIONS[name]
    counted = image if inside is None else image[inside]
    # A constant channel among others that vary shows nothing to align and has no range to scale by.
    return np.stack(
        [
            method(image[..., c], counted[..., c])
            if counted[..., c].min() < counted[..., c].max()
            else np.zeros_like(image[..., c])
            for c in range(image.shape[-1])
        ],
        axis=-1,
    )


def fill_outside(image: np.ndarray, inside: np.ndarray, name: str) -> np.ndarray:
    """An image with the voxels outside a mask set, in each channel, to the value that normalisation makes darkest.

    The value is found inside the mask, so that what lies outside, such as the air around a head in CT, does not take
    up the range of intensities.

    Args:
        image: `[*spatial, channels]`, any intensities.
        inside: mask bool `[*spatial]` with at least one voxel inside.
        name: the method that will normalise the image, a key of `NORMALIZATIONS`.

    Returns:
        The shape and dtype of `image`.

    Raises:
        ValueError: unknown name.
    """
    _check_name(name)
    counted = image[inside]
    lowest = counted.min(axis=0) if name == "minmax" else np.percentile(counted, PERCENTILES[0], axis=0)
    if name in KEEPING_ZERO:
        lowest = np.minimum(lowest, 0)
    return np.where(inside[..., None], image, lowest.astype(image.dtype))


def _check_name(name: str) -> None:
    if name not in NORMALIZATIONS:
        raise ValueError(f"There is no normalisation {name!r}; choose one of {', '.join(NORMALIZATIONS)}.")
