"""Windows of intensities, and CT in Hounsfield units, which needs them."""

from collections.abc import Sequence

import numpy as np
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.background import AIR_HU
from vxm_tf.spatial.image import SpatialImage

# CT in Hounsfield units: air is -1000, so part of the image lies around it, and nothing but metal lies above 4095.
LOWEST_AIR_HU = -1100.0
AIR_SHARE = 0.05
BRIGHTEST_HU = 4100.0


def windowed(image: SpatialImage, window: Sequence[float], mask: np.ndarray | None = None) -> SpatialImage:
    """An image with its intensities clipped to a window, for the estimate of a transform only.

    Args:
        image: the image, float `[*spatial, channels]`.
        window: (lowest, highest) intensity of every channel; empty to keep all, with a warning for CT without a mask.
        mask: mask of the image, bool `[*spatial]`; None for none.

    Raises:
        InputError: a window in which every voxel has one value.
    """
    if not window:
        if mask is None and looks_like_hounsfield(image.array):
            logging.warning(
                "%s looks like CT in Hounsfield units, where soft tissue takes up a small part of the range. To align "
                "the image by soft tissue give a window, such as --window 0,100 for the brain or --window -160,240 for "
                "the abdomen.",
                image.name,
            )
        return image
    clipped = np.clip(image.array, window[0], window[1])
    axes = tuple(range(image.grid.ndim))
    if np.array_equal(clipped.min(axis=axes), clipped.max(axis=axes)):
        raise InputError(
            f"The window {window[0]:g},{window[1]:g} leaves one value in every voxel of {image.name}, whose "
            f"intensities go from {image.array.min():g} to {image.array.max():g}."
        )
    return image.with_array(clipped)


def looks_like_hounsfield(array: np.ndarray) -> bool:
    """Whether an image `[*spatial, channels]` has a channel that looks like CT in Hounsfield units, air included."""
    for channel in np.moveaxis(array, -1, 0):
        if channel.min() > AIR_HU or np.percentile(channel, 99.5) > BRIGHTEST_HU:
            continue
        # Padding beyond the scanner's field of view may be far below air.
        if np.mean((channel >= LOWEST_AIR_HU) & (channel <= AIR_HU)) >= AIR_SHARE:
            return True
    return False
