"""Sampling of images between their voxels."""

import math
from collections.abc import Sequence

from keras import ops

from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32, spatial_shape

INTERPOLATIONS = ("linear", "nearest")
FILL_MODES = ("nearest", "constant")
LARGEST_INT32 = 2**31 - 1


def sample(
    image: Tensor,
    locations: Tensor,
    interpolation: str = "linear",
    fill_mode: str = "nearest",
    fill_value: float = 0.0,
) -> Tensor:
    """Value of an image at any location, by one formula for any number of axes.

    Linear interpolation is the product over axes of `(1 - w) * image[i] + w * image[i + 1]` with
    `i = floor(x)`, `w = x - i`; nearest takes `image[round(x)]`, where halves are rounded to the even index.

    Args:
        image: `[batch, *spatial, channels]`.
        locations: `[batch, *any, ndim]`, indices into `spatial`, in voxels, `ij` order.
        interpolation: "linear" or "nearest".
        fill_mode: beyond the outermost voxel centres, "nearest" repeats the edge and "constant"
            gives `fill_value`.
        fill_value: intensity outside the image for the fill mode "constant".

    Returns:
        `[batch, *any, channels]`: float32 for "linear", the image's own dtype for "nearest".

    Raises:
        ValueError: unknown `interpolation` or `fill_mode`, or a number of location components that
            differs from the image's number of spatial axes.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import ops
    >>> ramp = np.arange(5, dtype="float32").reshape(1, 5, 1)
    >>> float(ops.sample(ramp, np.array([[[2.25]]], "float32"))[0, 0, 0])
    2.25
    """
    ndim = len(image.shape) - 2
    if locations.shape[-1] != ndim:
        raise ValueError(
            f"An image of shape {tuple(image.shape)} has {ndim} spatial axes, so locations need {ndim} "
            f"components in their last axis; got shape {tuple(locations.shape)}."
        )
    locations = as_float32(locations)
    coordinates = [locations[..., axis] for axis in range(ndim)]
    return sample_at(image, coordinates, interpolation, fill_mode, fill_value)


def check_sampling(interpolation: str, fill_mode: str) -> None:
    """Raise `ValueError` for an unknown interpolation or fill mode."""
    for name, value, known in (
        ("interpolation", interpolation, INTERPOLATIONS),
        ("fill_mode", fill_mode, FILL_MODES),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}.")


def sample_at(
    image: Tensor,
    coordinates: Sequence[Tensor],
    interpolation: str = "linear",
    fill_mode: str = "nearest",
    fill_value: float = 0.0,
) -> Tensor:
    """Sample an image at coordinates, one tensor `[batch, *any]` for each axis; see `sample`."""
    check_sampling(interpolation, fill_mode)
    image = ops.convert_to_tensor(image)
    values = _edge_values(as_float32(image) if interpolation == "linear" else image, coordinates, interpolation)
    if fill_mode == "constant":
        inside = _inside(spatial_shape(image), coordinates)
        values = ops.where(ops.expand_dims(inside, -1), values, ops.cast(fill_value, values.dtype))
    return values


def _edge_values(image: Tensor, coordinates: Sequence[Tensor], interpolation: str) -> Tensor:
    """Values at coordinates, beyond the outermost voxel centres those of the edge.

    Voxels are numbered in 32 bits. An image with more values than that, by its known sizes, is sampled in two halves
    that share a slice, and each location takes the half that it lies in.
    """
    batch, *shape, channels = ops.shape(image)
    if math.prod(size for size in (batch, *shape, channels) if isinstance(size, int)) <= LARGEST_INT32:
        return _linear(image, coordinates) if interpolation == "linear" else _nearest(image, coordinates)
    if isinstance(batch, int) and batch > 1:
        middle = batch // 2
        halves = [
            _edge_values(image[part], [c[part] if c.shape[0] != 1 else c for c in coordinates], interpolation)
            for part in (slice(None, middle), slice(middle, None))
        ]
        return ops.concatenate(halves, axis=0)
    axis = max((axis for axis, size in enumerate(shape) if isinstance(size, int)), key=lambda axis: shape[axis])
    # Even, so that halves between two voxels are rounded to the same one.
    middle = shape[axis] // 4 * 2
    if middle < 2:
        raise ValueError(f"An image of shape {(batch, *shape, channels)} has too many channels to be sampled at once.")
    before: list[slice] = [slice(None)] * (axis + 1)
    first = _edge_values(image[(*before, slice(None, middle + 1))], coordinates, interpolation)
    shifted = [c - middle if a == axis else c for a, c in enumerate(coordinates)]
    second = _edge_values(image[(*before, slice(middle, None))], shifted, interpolation)
    # NaN counts as the first voxel.
    later = ops.expand_dims(coordinates[axis] >= middle, -1)
    return ops.where(later, second, first)


def _linear(image: Tensor, coordinates: Sequence[Tensor]) -> Tensor:
    shape = spatial_shape(image)
    lower, upper, weights = [], [], []
    for stride, size, coordinate in zip(_strides(shape), shape, coordinates):
        last = ops.cast(size - 1, "float32")
        coordinate = ops.minimum(ops.maximum(coordinate, 0.0), last)
        # The second bound removes NaN, which passes the float comparison and would crash as an index.
        low = ops.maximum(ops.cast(coordinate, "int32"), 0)
        lower.append(low * stride)
        upper.append(ops.minimum(low + 1, size - 1) * stride)
        weights.append(ops.expand_dims(coordinate - ops.cast(low, "float32"), -1))
    table, batch_offset = _table(image, coordinates)

    def interpolate(axis: int, index: Tensor) -> Tensor:
        if axis == len(shape):
            return ops.take(table, index, axis=0)
        low = interpolate(axis + 1, index + lower[axis])
        high = interpolate(axis + 1, index + upper[axis])
        return low + weights[axis] * (high - low)

    return interpolate(0, batch_offset)


def _nearest(image: Tensor, coordinates: Sequence[Tensor]) -> Tensor:
    shape = spatial_shape(image)
    table, index = _table(image, coordinates)
    for stride, size, coordinate in zip(_strides(shape), shape, coordinates):
        nearest = ops.cast(ops.round(ops.clip(coordinate, -1.0, ops.cast(size, "float32"))), "int32")
        index = index + ops.clip(nearest, 0, size - 1) * stride
    return ops.take(table, index, axis=0)


def _inside(shape: Sequence[int | Tensor], coordinates: Sequence[Tensor]) -> Tensor:
    inside = None
    for size, coordinate in zip(shape, coordinates):
        axis_inside = ops.logical_and(coordinate >= 0.0, coordinate <= ops.cast(size - 1, "float32"))
        inside = axis_inside if inside is None else ops.logical_and(inside, axis_inside)
    return inside


def _table(image: Tensor, coordinates: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The image as one row of channels for each voxel, and the number of the row at which each batch item begins."""
    batch, *shape, channels = ops.shape(image)
    num_voxels = 1
    for size in shape:
        num_voxels = num_voxels * size
    offset = ops.reshape(ops.arange(batch, dtype="int32") * num_voxels, [-1] + [1] * (len(coordinates[0].shape) - 1))
    return ops.reshape(image, (-1, channels)), offset


def _strides(shape: Sequence[int | Tensor]) -> list[int | Tensor]:
    strides: list[int | Tensor] = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    return strides
