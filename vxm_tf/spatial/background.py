"""The value that surrounds what an image shows, such as that of air."""

import numpy as np

from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.image import SpatialImage
from vxm_tf.spatial.resampling import resample
from vxm_tf.spatial.transforms import Transform

AIR_HU = -900.0
"""Largest value of air in Hounsfield units, which is about -1000."""
BACKGROUND_SHARE = 0.5
"""Share of an image's outermost voxels that have one value if that value is the background's."""


def border(array: np.ndarray) -> np.ndarray:
    """The outermost voxels of an array `[*spatial]`, in one axis."""
    inner = np.zeros(array.shape, bool)
    inner[(slice(1, -1),) * array.ndim] = True
    return array[~inner]


def background_values(array: np.ndarray) -> list[float]:
    """The background of each channel of an image, in the image's intensities.

    It is the value that at least half of the outermost voxels have. If there is none, it is the lowest value of an
    image that holds air in Hounsfield units, and 0 in every other image.

    Args:
        array: `[*spatial, channels]`.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.spatial.background import background_values
    >>> ct = np.full((5, 5, 1), -1024.0)
    >>> ct[1:4, 1:4] = 40.0
    >>> background_values(ct), background_values(ct[1:4, 1:4] + np.arange(3.0)[:, None])
    ([-1024.0], [0.0])
    """
    return [_background(channel) for channel in np.moveaxis(array, -1, 0)]


def _background(channel: np.ndarray) -> float:
    values, counts = np.unique(border(channel), return_counts=True)
    if counts.max() >= BACKGROUND_SHARE * counts.sum():
        return float(values[counts.argmax()])
    lowest = float(np.nanmin(channel))
    return lowest if lowest <= AIR_HU else 0.0


def moved_image(
    image: SpatialImage, to_grid: Grid, transform: Transform | None = None, fill_value: float | None = None
) -> np.ndarray:
    """An image moved onto another grid by one interpolation, float32 `[*to_grid.shape, channels]`.

    Args:
        image: image to move, `[*spatial, channels]`.
        to_grid: grid to move it onto.
        transform: transform from that grid's world space to the image's; None for the identity.
        fill_value: value outside the image's field of view; None for the background of each channel.
    """
    fills = background_values(image.array) if fill_value is None else [fill_value]
    # A transform is mapped once for all channels with one background.
    groups = [image.array] if len(set(fills)) == 1 else np.split(image.array, len(fills), axis=-1)
    channels = [resample(array, image.grid, to_grid, transform, fill_value=fill) for array, fill in zip(groups, fills)]
    return np.concatenate(channels, axis=-1) if len(channels) > 1 else channels[0]
