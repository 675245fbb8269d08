"""Finite differences along one axis of a tensor."""

from keras import ops

from vxm_tf.ops.tensors import Tensor


def shifted(tensor: Tensor, axis: int, start: int, stop: int | Tensor | None = None) -> Tensor:
    """The slice `start:stop` along one axis."""
    index = [slice(None)] * len(tensor.shape)
    index[axis] = slice(start, stop)
    return tensor[tuple(index)]


def forward_differences(tensor: Tensor, axis: int) -> Tensor:
    """f(x + 1) - f(x), per voxel; the result is one voxel shorter along `axis`."""
    return shifted(tensor, axis, 1) - shifted(tensor, axis, 0, -1)


def second_differences(tensor: Tensor, axis: int) -> Tensor:
    """f(x + 1) - 2 f(x) + f(x - 1), per voxel^2; the result is two voxels shorter along `axis`."""
    return forward_differences(forward_differences(tensor, axis), axis)


def central_differences(tensor: Tensor, axis: int) -> Tensor:
    """(f(x + 1) - f(x - 1)) / 2, per voxel, one-sided at both ends; the result has the shape of `tensor`."""
    step = forward_differences(tensor, axis)
    first, last = shifted(step, axis, 0, 1), shifted(step, axis, -1)
    inner = 0.5 * (shifted(step, axis, 1) + shifted(step, axis, 0, -1))
    return ops.concatenate([first, inner, last], axis=axis)


def laplacian(tensor: Tensor) -> Tensor:
    """Sum over neighbours y of f(y) - f(x), per voxel^2, `[batch, *spatial, channels]`; border voxels have fewer."""
    total = 0.0
    for axis in range(1, len(tensor.shape) - 1):
        step = forward_differences(tensor, axis)
        nothing = ops.zeros_like(shifted(tensor, axis, 0, 1))
        total += ops.concatenate([step, nothing], axis=axis) - ops.concatenate([nothing, step], axis=axis)
    return total
