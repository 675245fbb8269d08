"""Arrays warped onto a fixed grid by a displacement in voxels."""

import numpy as np

from vxm_tf import ops
from vxm_tf.data.padding import common_shape, crop_from, pad_to


def warp_labels(labels: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """A label map warped onto the fixed grid by nearest neighbour; see `warp_array`.

    Args:
        labels: label map `[*spatial]`.
        displacement: `[*fixed_shape, ndim]`, in voxels, `ij` order.

    Returns:
        `[*fixed_shape]`.
    """
    return warp_array(labels[..., None], displacement, "nearest")[..., 0]


def warp_array(array: np.ndarray, displacement: np.ndarray, interpolation: str = "linear") -> np.ndarray:
    """An array warped onto the grid of a displacement; an array of another size is first centred on that grid.

    Args:
        array: `[*spatial, channels]`.
        displacement: `[*fixed_shape, ndim]`, in voxels, `ij` order.
        interpolation: "linear", or "nearest" for labels.

    Returns:
        `[*fixed_shape, channels]`.
    """
    shape = common_shape(array.shape[:-1], displacement.shape[:-1])
    padded = pad_to(array, shape)
    field = pad_to(displacement, shape)
    moved = np.asarray(ops.warp(padded[None], field[None], interpolation))[0]
    return crop_from(moved, displacement.shape[:-1])
