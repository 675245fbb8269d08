"""Conditions on requests, checked while the graph runs: a server answers with the message, as status 400."""

from collections.abc import Iterable

import tensorflow as tf

# Volumes larger than 512 voxels cubed are refused before memory is allocated.
MAX_VOXELS = 2**27
# With larger values, differences and sums of a few overflow in float32.
LARGEST = 1e30
WEAK_DETERMINANT = 1e-4
# At this distance, float32 in a header is accurate to about a millimetre.
FARTHEST_MM = 1e7


def require(condition: tf.Tensor, *message: str | tf.Tensor) -> tf.Operation:
    """An operation that fails unless `condition` holds.

    Args:
        condition: bool scalar.
        *message: parts of the error's message: strings, and tensors whose values are shown between them.
    """
    return tf.debugging.Assert(condition, list(message), summarize=16)


def after(checks: Iterable[tf.Operation], tensor: tf.Tensor) -> tf.Tensor:
    """`tensor`, which is available only once all checks have passed."""
    with tf.control_dependencies(checks):
        return tf.identity(tensor)


def finite(tensor: tf.Tensor, name: str) -> tf.Tensor:
    """The tensor, which must hold neither NaN nor infinite values, nor values near the end of float32.

    Whole numbers pass unchanged.
    """
    if not tensor.dtype.is_floating:
        return tensor
    message = f"{name}: holds values that are NaN or infinite. Replace them, such as by 0."
    tensor = after([require(tf.reduce_all(tf.math.is_finite(tensor)), message)], tensor)
    message = f"{name}: holds values beyond {LARGEST:g}, too large to compute with. Scale them."
    return after([require(tf.reduce_all(tf.abs(tensor) <= LARGEST), message)], tensor)


def not_too_large(shape: tf.Tensor, name: str, most: int = MAX_VOXELS) -> tf.Operation:
    """A check that a spatial shape, integers `[ndim]`, has between 1 and `most` voxels."""
    count = tf.reduce_prod(tf.cast(shape, tf.float64))
    fits = tf.reduce_all(shape >= 1) & (count <= most)
    return require(fits, f"{name}: a volume has at least 1 voxel along each axis and at most {most}; got", shape)


def image(tensor: tf.Tensor, name: str, channels: int | None = None) -> tf.Tensor:
    """An image `[batch, *spatial, channels]`, which must be neither empty nor too large, and finite.

    A server does not hold requests to the sizes in a signature, so the number of channels is checked too.
    """
    shape = tf.shape(tensor)
    checks = [require(shape[0] >= 1, f"{name}: the batch is empty; got shape", shape), not_too_large(shape[1:-1], name)]
    # Voxels of a batch are numbered in 32 bits.
    count = tf.reduce_prod(tf.cast(shape, tf.float64))
    message = f"{name}: a batch has at most {tf.int32.max} values; send fewer volumes at a time. Its shape is"
    checks.append(require(count <= tf.int32.max, message, shape))
    if channels is not None:
        plural = "channel" if channels == 1 else "channels"
        checks.append(require(shape[-1] == channels, f"{name}: an image has {channels} {plural}; got shape", shape))
    return tf.ensure_shape(finite(after(checks, tensor), name), tensor.shape)


def same_grid(first: tf.Tensor, second: tf.Tensor, names: tuple[str, str]) -> tuple[tf.Tensor, tf.Tensor]:
    """Both tensors, which must have one batch and one spatial shape."""
    shapes = tf.shape(first), tf.shape(second)
    same = tf.reduce_all(shapes[0][:-1] == shapes[1][:-1])
    check = require(
        same, f"{names[0]} and {names[1]} lie on one grid, so they have equal shapes but for channels; got", *shapes
    )
    return after([check], first), after([check], second)


def sound_affine(affine: tf.Tensor, name: str) -> tf.Tensor:
    """An affine `[4, 4]`, which must be finite, invertible and within `FARTHEST_MM`."""
    axes = affine[:3, :3]
    sizes = tf.norm(axes, axis=0)
    volume = tf.abs(tf.linalg.det(axes / tf.maximum(sizes, 1e-6)))
    sound = tf.reduce_all(tf.math.is_finite(affine)) & tf.reduce_all(sizes >= 1e-6) & (volume >= WEAK_DETERMINANT)
    message = f"{name}: the header's affine is singular or not finite, so voxels have no place in space. It is"
    affine = after([require(sound, message, affine)], affine)
    near = tf.reduce_all(tf.abs(affine) <= FARTHEST_MM)
    message = f"{name}: the header's affine has sizes or places beyond {FARTHEST_MM:g} mm, where none is exact. It is"
    return after([require(near, message, affine)], affine)
