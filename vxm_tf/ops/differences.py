"""Finite differences along one axis of a tensor."""

from keras import ops


def shifted(tensor, axis: int, start: int, stop=None):
    """The slice `start:stop` of one axis."""
    index = [slice(None)] * len(tensor.shape)
    index[axis] = slice(start, stop)
    return tensor[tuple(index)]


def forward_differences(tensor, axis: int):
    """f(x + 1) - f(x), one voxel shorter along `axis`."""
    return shifted(tensor, axis, 1) - shifted(tensor, axis, 0, -1)


def second_differences(tensor, axis: int):
    """f(x + 1) - 2 f(x) + f(x - 1), two voxels shorter along `axis`."""
    return forward_differences(forward_differences(tensor, axis), axis)


def central_differences(tensor, axis: int):
    """(f(x + 1) - f(x - 1)) / 2, one-sided at both ends, the same shape as `tensor`."""
    step = forward_differences(tensor, axis)
    first, last = shifted(step, axis, 0, 1), shifted(step, axis, -1)
    inner = 0.5 * (shifted(step, axis, 1) + shifted(step, axis, 0, -1))
    return ops.concatenate([first, inner, last], axis=axis)


def laplacian(tensor):
    """Sum of what each voxel lacks of its neighbours' values, `[batch, *spatial, channels]`; none across the border."""
    total = 0.0
    for axis in range(1, len(tensor.shape) - 1):
        step = forward_differences(tensor, axis)
        nothing = ops.zeros_like(shifted(tensor, axis, 0, 1))
        total += ops.concatenate([step, nothing], axis=axis) - ops.concatenate([nothing, step], axis=axis)
    return total
