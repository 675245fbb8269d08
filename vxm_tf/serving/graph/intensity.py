"""Brightness of images in a graph: percentiles, normalisation, and where the content lies."""

import tensorflow as tf

from vxm_tf.data.normalization import FREESURFER_BRIGHT
from vxm_tf.serving.graph.conditions import after, require


def percentile_high(values, share: float):
    """The value that `share` of the values `[count]` do not exceed, for shares near 1, linear between ranks."""
    count = tf.size(values)
    position = tf.cast(count - 1, tf.float64) * share
    lower = tf.cast(tf.floor(position), tf.int32)
    top = tf.math.top_k(values, count - lower).values
    fraction = tf.cast(position - tf.floor(position), tf.float32)
    low, high = top[-1], tf.where(count - lower > 1, top[tf.maximum(count - lower - 2, 0)], top[-1])
    return low + fraction * (high - low)


def percentile_low(values, share: float):
    """The same for shares near 0."""
    return -percentile_high(-values, 1.0 - share)


def _between(values, low, high):
    return tf.clip_by_value((values - low) / (high - low), 0.0, 1.0)


def _minmax(values):
    low, high = tf.reduce_min(values), tf.reduce_max(values)
    return (values - low) / (high - low)


def _percentile(values):
    flat = tf.reshape(values, [-1])
    low, high = percentile_low(flat, 0.005), percentile_high(flat, 0.995)
    return tf.cond(high > low, lambda: _between(values, low, high), lambda: _minmax(values))


def _freesurfer(values):
    bright = percentile_high(tf.reshape(values, [-1]), 0.995)
    return tf.cond(bright > 0, lambda: values * (FREESURFER_BRIGHT / bright), lambda: _minmax(values))


METHODS = {"percentile": _percentile, "minmax": _minmax, "freesurfer": _freesurfer, "none": tf.identity}


def normalize(values, name: str, what: str):
    """An image `[*spatial]` normalised as `vxm_tf.data.normalize` does it.

    Args:
        values: float32.
        name: of the method.
        what: the image is called in errors.
    """
    varies = tf.reduce_max(values) > tf.reduce_min(values)
    check = require(varies, f"{what}: every voxel that takes part has the same value, so there is nothing to align.")
    return METHODS[name](after([check], values))


def content_box(values):
    """float64 `[3, 2]`: (first, last) index of each axis between which an image is brighter than its background.

    As `vxm_tf.spatial.working_grid.content_box` finds it.
    """
    low, high = tf.reduce_min(values), percentile_high(tf.reshape(values, [-1]), 0.995)
    high = tf.where(high > low, high, tf.reduce_max(values))
    bright = values > low + 0.05 * (high - low)
    box = []
    for axis in range(3):
        occupied = tf.where(tf.reduce_any(bright, axis=[a for a in range(3) if a != axis]))[:, 0]
        last = tf.cast(tf.shape(bright)[axis] - 1, tf.int64)
        some = tf.size(occupied) > 0
        ends = tf.cond(some, lambda o=occupied: tf.stack([o[0], o[-1]]), lambda last=last: tf.stack([0 * last, last]))
        box.append(tf.cast(ends, tf.float64))
    return tf.stack(box)
