"""Voxel grids: the indices of their voxels, and checks of the shapes of fields."""

from collections.abc import Sequence

import keras
from keras import ops

from vxm_tf.ops.tensors import Tensor


def spatial_shape(tensor: Tensor) -> tuple:
    """Sizes of the spatial axes of `[batch, *spatial, channels]`: integers, or scalar tensors where not yet known."""
    return tuple(ops.shape(tensor)[1:-1])


def axis_indices(size: int | Tensor, axis: int, ndim: int) -> Tensor:
    """Index of every voxel along one spatial axis, shaped to broadcast over the grid.

    Args:
        size: number of voxels along the axis.
        axis: number of the spatial axis, from 0.
        ndim: number of spatial axes.

    Returns:
        float32 tensor `[1, 1, ..., size, ..., 1]` of rank `ndim + 1` (batch first).
    """
    shape = [1] * (ndim + 1)
    shape[axis + 1] = -1
    return ops.reshape(ops.cast(ops.arange(size, dtype="int32"), "float32"), shape)


def identity_grid(shape: Sequence[int | Tensor]) -> Tensor:
    """Index of every voxel, `grid[i, j, k] = (i, j, k)`.

    Args:
        shape: spatial shape.

    Returns:
        float32 tensor `[*shape, ndim]`, in voxels, `ij` order.

    Example:

    >>> from vxm_tf import ops
    >>> [float(i) for i in ops.identity_grid((4, 5))[2, 3]]
    [2.0, 3.0]
    """
    ndim = len(shape)
    axes = [axis_indices(size, axis, ndim)[0] for axis, size in enumerate(shape)]
    return ops.stack([ops.broadcast_to(a, tuple(shape)) for a in axes], axis=-1)


def check_field(field: Tensor, name: str = "displacement", min_size: int = 1) -> int:
    """Check that a tensor is a field `[batch, *spatial, ndim]` and return `ndim`.

    Args:
        field: tensor to check.
        name: noun for the field in error messages.
        min_size: smallest number of voxels of a spatial axis.

    Raises:
        ValueError: a last axis that does not hold one component per spatial axis, or a known size below `min_size`.
    """
    ndim = len(field.shape) - 2
    if ndim < 1 or field.shape[-1] != ndim:
        raise ValueError(
            f"A {name} has shape [batch, *spatial, ndim] with one component per spatial axis; got "
            f"shape {tuple(field.shape)}. Add the batch axis, or move the components last."
        )
    if any(size is not None and size < min_size for size in tuple(field.shape)[1:-1]):
        raise ValueError(
            f"Derivatives of this {name} need at least {min_size} voxels an axis; got shape {tuple(field.shape)}."
        )
    return ndim


def is_static(*tensors: Tensor) -> bool:
    """Whether every size except the batch size is known while the graph is built."""
    return all(None not in tuple(t.shape)[1:] for t in tensors)


def as_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32, the lowest precision in which locations, fields and sums are computed."""
    tensor = ops.convert_to_tensor(tensor)
    return tensor if keras.backend.standardize_dtype(tensor.dtype) == "float32" else ops.cast(tensor, "float32")
