"""Intensities of images in a graph: percentiles, normalisation, background, and the box of the content."""

import tensorflow as tf

from vxm_tf.data.normalization import FREESURFER_BRIGHT
from vxm_tf.serving.graph.conditions import after, require
from vxm_tf.spatial.background import AIR_HU, BACKGROUND_SHARE
from vxm_tf.spatial.working_grid import BORDER_PERCENTILE, BRIGHT_BACKGROUND, CONTRAST


def percentile_high(values: tf.Tensor, share: float) -> tf.Tensor:
    """The quantile of values `[count]` for a share near 1, interpolated linearly between ranks."""
    count = tf.size(values)
    position = tf.cast(count - 1, tf.float64) * share
    lower = tf.cast(tf.floor(position), tf.int32)
    top = tf.math.top_k(values, count - lower).values
    fraction = tf.cast(position - tf.floor(position), tf.float32)
    low, high = top[-1], tf.where(count - lower > 1, top[tf.maximum(count - lower - 2, 0)], top[-1])
    return low + fraction * (high - low)


def percentile_low(values: tf.Tensor, share: float) -> tf.Tensor:
    """The quantile of values `[count]` for a share near 0, interpolated linearly between ranks."""
    return -percentile_high(-values, 1.0 - share)


def _between(values: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value((values - low) / (high - low), 0.0, 1.0)


def _minmax(values: tf.Tensor) -> tf.Tensor:
    low, high = tf.reduce_min(values), tf.reduce_max(values)
    return (values - low) / (high - low)


def _percentile(values: tf.Tensor) -> tf.Tensor:
    flat = tf.reshape(values, [-1])
    low, high = percentile_low(flat, 0.005), percentile_high(flat, 0.995)
    return tf.cond(high > low, lambda: _between(values, low, high), lambda: _minmax(values))


def _freesurfer(values: tf.Tensor) -> tf.Tensor:
    bright = percentile_high(tf.reshape(values, [-1]), 0.995)
    return tf.cond(bright > 0, lambda: values * (FREESURFER_BRIGHT / bright), lambda: _minmax(values))


METHODS = {"percentile": _percentile, "minmax": _minmax, "freesurfer": _freesurfer, "none": tf.identity}


def normalize(values: tf.Tensor, method: str, name: str) -> tf.Tensor:
    """An image `[*spatial]` normalised as by `vxm_tf.data.normalize`.

    Args:
        values: float32 `[*spatial]`.
        method: name of the method, a key of `METHODS`.
        name: name of the image in errors.
    """
    varies = tf.reduce_max(values) > tf.reduce_min(values)
    check = require(varies, f"{name}: every voxel that takes part has the same value, so there is nothing to align.")
    return METHODS[method](after([check], values))


def content_box(values: tf.Tensor) -> tf.Tensor:
    """Box in which an image differs from its background: (first, last) index of each axis, float64 `[3, 2]`.

    Computed as by `vxm_tf.spatial.working_grid.content_box`.
    """
    low, high = tf.reduce_min(values), percentile_high(tf.reshape(values, [-1]), 0.995)
    extent = tf.where(high > low, high, tf.reduce_max(values)) - low
    darkest = percentile_low(border(values), BORDER_PERCENTILE / 100)
    bright = (high > low) & (darkest >= high - BRIGHT_BACKGROUND * extent)
    content = tf.where(bright, values < darkest - CONTRAST * extent, values > low + CONTRAST * extent)
    box = []
    for axis in range(3):
        occupied = tf.where(tf.reduce_any(content, axis=[a for a in range(3) if a != axis]))[:, 0]
        last = tf.cast(tf.shape(content)[axis] - 1, tf.int64)
        some = tf.size(occupied) > 0
        ends = tf.cond(some, lambda o=occupied: tf.stack([o[0], o[-1]]), lambda last=last: tf.stack([0 * last, last]))
        box.append(tf.cast(ends, tf.float64))
    return tf.stack(box)


def border(values: tf.Tensor) -> tf.Tensor:
    """The outermost voxels of an image `[x, y, z]`, in one axis."""
    faces = []
    for axis in range(3):
        before = (slice(None),) * axis
        first, rest = values[(*before, slice(0, 1))], values[(*before, slice(1, None))]
        # An axis of one voxel has one face.
        faces += [first, rest[(*before, slice(-1, None))]]
        values = rest[(*before, slice(0, -1))]
    return tf.concat([tf.reshape(face, [-1]) for face in faces], axis=0)


def background_value(values: tf.Tensor) -> tf.Tensor:
    """The background of an image `[x, y, z]`, a scalar.

    Computed as by `vxm_tf.spatial.background.background_values`.
    """
    outermost = border(values)
    found, _, counts = tf.unique_with_counts(outermost)
    # Of values with equal counts, NumPy's sorted ones come lowest first.
    most = tf.reduce_min(tf.boolean_mask(found, counts == tf.reduce_max(counts)))
    common = tf.reduce_max(counts) >= tf.cast(
        tf.math.ceil(BACKGROUND_SHARE * tf.cast(tf.size(outermost), tf.float64)), tf.int32
    )
    lowest = tf.reduce_min(values)
    return tf.where(common, most, tf.where(lowest <= AIR_HU, lowest, 0.0))
