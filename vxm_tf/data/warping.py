"""Arrays carried to a fixed grid by a displacement in voxels."""

import numpy as np

from vxm_tf import ops
from vxm_tf.data.padding import common_shape, crop_from, pad_to


def warp_labels(labels, displacement) -> np.ndarray:
    """A label map `[*spatial]` carried to the fixed grid by nearest neighbour.

    A map on a grid of another size than the displacement's is centred on it, as in `register_pair`.
    """
    return warp_array(labels[..., None], displacement, "nearest")[..., 0]


def warp_array(array, displacement, interpolation: str = "linear") -> np.ndarray:
    """An array `[*spatial, channels]` carried to the displacement's grid, as the network's moving image is."""
    shape = common_shape(array.shape[:-1], displacement.shape[:-1])
    padded = pad_to(array, shape)
    field = pad_to(displacement, shape)
    moved = np.asarray(ops.warp(padded[None], field[None], interpolation))[0]
    return crop_from(moved, displacement.shape[:-1])
