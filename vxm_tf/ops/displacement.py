"""Displacement fields: apply, chain and change their grid."""

from collections.abc import Sequence

from keras import ops

from vxm_tf.ops.differences import forward_differences
from vxm_tf.ops.fusion import fused
from vxm_tf.ops.sampling import check_sampling, sample_at
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32, axis_indices, check_field, spatial_shape

RESIZE_RULES = ("areas", "corners", "origin")


def warp(
    image: Tensor,
    displacement: Tensor,
    interpolation: str = "linear",
    fill_mode: str = "nearest",
    fill_value: float = 0.0,
) -> Tensor:
    """moved(x) = moving(x + displacement(x)) for every voxel index x of the displacement's grid.

    Args:
        image: the moving image `[batch, *any, channels]`; its grid may differ in size from the
            displacement's.
        displacement: `[batch, *spatial, ndim]`, in voxels, `ij` order.
        interpolation: "linear", or "nearest" for labels.
        fill_mode: outside the image, "nearest" repeats the edge and "constant" gives `fill_value`.
        fill_value: intensity outside the image for the fill mode "constant".

    Returns:
        The moved image `[batch, *spatial, channels]`: float32 for "linear", the image's dtype for
        "nearest".

    Raises:
        ValueError: unknown option, or a displacement whose last axis is not `ndim`.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import ops
    >>> image = np.array([10.0, 20.0, 30.0], "float32").reshape(1, 3, 1)
    >>> moved = ops.warp(image, np.ones((1, 3, 1), "float32"))
    >>> [float(v) for v in moved[0, :, 0]]
    [20.0, 30.0, 30.0]
    """
    ndim = check_field(displacement)
    check_sampling(interpolation, fill_mode)
    if len(image.shape) != ndim + 2:
        raise ValueError(
            f"A displacement with {ndim} components warps an image [batch, *spatial, channels] with {ndim} "
            f"spatial axes; got an image of shape {tuple(image.shape)}."
        )
    return _warp(image, as_float32(displacement), interpolation, fill_mode, fill_value)


@fused
def _warp(image: Tensor, displacement: Tensor, interpolation: str, fill_mode: str, fill_value: float) -> Tensor:
    return sample_at(image, _locations(displacement), interpolation, fill_mode, fill_value)


def warp_with_slopes(image: Tensor, displacement: Tensor) -> list[Tensor]:
    """The moved image, by linear interpolation, and its derivative in each component of the displacement.

    The difference of two neighbouring voxels is the slope half way between them; elsewhere slopes are interpolated. The
    exact derivative of linear interpolation is unsuitable because it jumps at every voxel: it is one-sided at the
    identity, rounding decides the side close to the identity, and a flipped pair would be registered differently.

    Args:
        image: the moving image `[batch, *any, channels]`; beyond its border the edge value and its slope are repeated.
        displacement: `[batch, *spatial, ndim]`, in voxels, `ij` order.

    Returns:
        A list of `[batch, *spatial, channels]`, float32: the moved image, then its derivative in the first component,
        the second, ..., per voxel.

    Raises:
        ValueError: a displacement whose last axis is not `ndim`.
    """
    ndim = check_field(displacement)
    image, displacement = as_float32(image), as_float32(displacement)
    # Compiled one by one: in one program a concatenation would be computed four times.
    values = [warp(image, displacement)]
    for axis in range(ndim):
        half = [0.5 if k == axis else 0.0 for k in range(ndim)]
        values.append(warp(forward_differences(image, axis + 1), displacement - ops.convert_to_tensor(half, "float32")))
    return values


def _locations(displacement: Tensor) -> list[Tensor]:
    """Location at which the image is sampled for each voxel, in voxels: one tensor for each axis."""
    shape = spatial_shape(displacement)
    return [displacement[..., axis] + axis_indices(size, axis, len(shape)) for axis, size in enumerate(shape)]


def compose(first: Tensor, second: Tensor) -> Tensor:
    """The single displacement that warps an image as `first` and then `second` do.

    w(x) = second(x) + first(x + second(x)), so that
    `warp(image, compose(first, second)) == warp(warp(image, first), second)` up to interpolation.

    Args:
        first: `[batch, *spatial, ndim]`, in voxels.
        second: `[batch, *spatial, ndim]`, in voxels.

    Returns:
        The displacement w `[batch, *spatial, ndim]`, float32, in voxels.

    Raises:
        ValueError: a field whose last axis is not `ndim`.
    """
    check_field(first)
    check_field(second)
    return as_float32(second) + warp(first, second)


def resize(displacement: Tensor, shape: Sequence[int | Tensor], rule: str = "areas") -> Tensor:
    """Resample a displacement on a grid of another size, with its vectors in voxels of the new grid.

    Component k is multiplied by `new[k] / old[k]`, each axis by its own ratio. The value at index i is interpolated
    linearly at a location on the old grid that depends on the rule:

    - "areas": `(i + 1/2) * old / new - 1/2`, as voxel i of n covers the interval [i, i + 1] / n of the field of view
      on both grids;
    - "corners": `i * (old - 1) / (new - 1)`, as in VoxelMorph 0.1 to dev;
    - "origin": `i * old / new`, as in the networks of 2018.

    The last two rules shift the field relative to the image by up to half a coarse voxel; they are for networks
    that were trained with them.

    Args:
        displacement: `[batch, *spatial, ndim]`, in voxels of `spatial`.
        shape: the new spatial shape.
        rule: "areas", "corners" or "origin".

    Returns:
        `[batch, *shape, ndim]`, float32, in voxels of `shape`.

    Raises:
        ValueError: a shape with another number of axes than the displacement, or an unknown rule.
    """
    ndim = check_field(displacement)
    check_resize_rule(rule)
    if len(shape) != ndim:
        raise ValueError(f"A displacement with {ndim} spatial axes was asked for shape {tuple(shape)}.")
    old = spatial_shape(displacement)
    if all(isinstance(size, int) for size in (*old, *shape)) and tuple(shape) == old:
        return as_float32(displacement)
    return _resize(as_float32(displacement), tuple(shape), rule)


def check_resize_rule(rule: str) -> None:
    """Raise `ValueError` for an unknown resizing rule."""
    if rule not in RESIZE_RULES:
        raise ValueError(f"resize_rule is one of {', '.join(map(repr, RESIZE_RULES))}; got {rule!r}.")


@fused
def _resize(displacement: Tensor, shape: Sequence[int | Tensor], rule: str) -> Tensor:
    ndim = len(shape)
    ratios = []
    for axis, (new, old) in enumerate(zip(shape, spatial_shape(displacement))):
        ratios.append(ops.cast(new, "float32") / ops.cast(old, "float32"))
        displacement = _resize_axis(displacement, axis + 1, old, _origins(old, new, rule))
    return displacement * ops.reshape(ops.stack(ratios), [1] * (ndim + 1) + [ndim])


def _origins(old: int | Tensor, new: int | Tensor, rule: str) -> Tensor:
    """Location on the old grid, along one axis, of each index of the new grid."""
    index = ops.cast(ops.arange(new, dtype="int32"), "float32")
    if rule == "corners":
        return index * ops.cast(old - 1, "float32") / ops.cast(ops.maximum(new - 1, 1), "float32")
    step = ops.cast(old, "float32") / ops.cast(new, "float32")
    return index * step if rule == "origin" else (index + 0.5) * step - 0.5


def _resize_axis(values: Tensor, axis: int, old: int | Tensor, location: Tensor) -> Tensor:
    """Linear interpolation along one axis of size `old`."""
    location = ops.clip(location, 0.0, ops.cast(old - 1, "float32"))
    low = ops.cast(location, "int32")
    weight_shape = [1] * len(values.shape)
    weight_shape[axis] = -1
    weight = ops.reshape(location - ops.cast(low, "float32"), weight_shape)
    lower = ops.take(values, low, axis=axis)
    upper = ops.take(values, ops.minimum(low + 1, old - 1), axis=axis)
    return lower + weight * (upper - lower)
