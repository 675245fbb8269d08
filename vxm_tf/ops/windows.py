"""Local means over a box around every voxel."""

from keras import ops

from vxm_tf.ops.differences import shifted
from vxm_tf.ops.tensors import Tensor


def window_mean(tensor: Tensor, window: int) -> Tensor:
    """Mean over a box centred on each voxel, of which only voxels inside the image count.

    Sums run axis by axis as shifted additions, so the gradient is a few additions too; the gradient of a
    pooling layer is some eighty times slower on a CPU.

    Args:
        tensor: `[batch, *spatial, channels]`.
        window: odd edge length of the box, in voxels.

    Returns:
        `[batch, *spatial, channels]`, each channel on its own; means at the border are over fewer voxels.

    Raises:
        ValueError: a window that is even or less than 1.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"A window is centred on a voxel, so its edge is odd and at least 1; got {window}.")
    for axis in range(1, len(tensor.shape) - 1):
        tensor = _window_sum(tensor, window, axis) / _window_count(tensor, window, axis)
    return tensor


def _window_sum(tensor: Tensor, window: int, axis: int) -> Tensor:
    padding = [(0, 0)] * len(tensor.shape)
    padding[axis] = (window // 2, window // 2)
    return _running_sum(ops.pad(tensor, padding), window, axis)


def _running_sum(tensor: Tensor, length: int, axis: int) -> Tensor:
    """Sum of `length` consecutive values, by doubling: a sum of 8 is two sums of 4."""
    if length == 1:
        return tensor
    half = _running_sum(tensor, length // 2, axis)
    size = ops.shape(tensor)[axis] - length + 1
    total = shifted(half, axis, 0, size) + shifted(half, axis, length // 2, length // 2 + size)
    return total + shifted(tensor, axis, length - 1) if length % 2 else total


def _window_count(tensor: Tensor, window: int, axis: int) -> Tensor:
    """Number of voxels that lie in the image and in the box around each index of one axis."""
    index = ops.arange(ops.shape(tensor)[axis], dtype="int32")
    before = ops.minimum(index, window // 2)
    after = ops.minimum(ops.shape(tensor)[axis] - 1 - index, window // 2)
    shape = [1] * len(tensor.shape)
    shape[axis] = -1
    return ops.reshape(ops.cast(before + after + 1, tensor.dtype), shape)
