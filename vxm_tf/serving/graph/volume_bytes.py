"""Volumes in few bytes: gzipped numbers in requests, 16-bit PNG in answers.

PNG is TensorFlow's only encoder that deflates in a graph, and every language reads it. A volume becomes a gray picture
whose rows are the volume's rows along its last axis, first axis slowest.
"""

import tensorflow as tf

from vxm_tf.serving.bytes_scale import LARGEST, STEPS_PER_VOXEL, ZERO
from vxm_tf.serving.graph.conditions import after, finite, not_too_large, require
from vxm_tf.serving.graph.gzip_bytes import gunzip, is_gzip
from vxm_tf.serving.graph.raw_bytes import numbers

# Key: name of a type. Value: (NIfTI's code, bytes of a number).
DTYPES = {"uint8": (2, 1), "uint16": (512, 2), "float32": (16, 4)}
# The fastest level of compression; the highest would save a fifth of the bytes and take four times as long.
COMPRESSION = 1


def decode(content: tf.Tensor, shape: tf.Tensor, dtype: tf.Tensor, ndim: int, name: str) -> tf.Tensor:
    """A volume float32 `[*spatial]` from gzipped numbers, little-endian, last axis fastest.

    Args:
        content: gzip archive of the numbers, string scalar.
        shape: int32 `[ndim]`.
        dtype: key of `DTYPES`, string scalar.
        ndim: number of axes that the network takes.
        name: name of the volume in errors.
    """
    axes = require(tf.size(shape) == ndim, f"{name}_shape: holds {ndim} sizes; got", shape)
    archive = require(is_gzip(content), f"{name}: is not gzipped, for it does not begin with the bytes 1f 8b.")
    names = tf.constant(list(DTYPES))
    known = require(tf.reduce_any(names == dtype), f"{name}_dtype: is one of {', '.join(DTYPES)}.")
    shape = after([axes, not_too_large(shape, name)], shape)
    choice = tf.argmax(names == after([known], dtype), output_type=tf.int32)
    bytes_each = tf.gather([size for _, size in DTYPES.values()], choice)
    content = _of_size(gunzip(after([archive], content), name), tf.reduce_prod(shape) * bytes_each, name)
    branches = [lambda code=code: tf.cast(numbers(content, code), tf.float32) for code, _ in DTYPES.values()]
    values = tf.reshape(tf.switch_case(choice, branches), shape)
    return finite(tf.ensure_shape(values, [None] * ndim), name)


def _of_size(content: tf.Tensor, wanted: tf.Tensor, name: str) -> tf.Tensor:
    length = tf.strings.length(content)
    message = f"{name}: bytes once inflated, and those that shape and dtype ask for:"
    return after([require(length == wanted, message, length, wanted)], content)


def encode_displacement(displacement: tf.Tensor) -> tf.Tensor:
    """A PNG for each component of a displacement `[*spatial, ndim]` in voxels: strings `[ndim]`."""
    stored = tf.round(displacement * STEPS_PER_VOXEL) + float(ZERO)
    stored = tf.cast(tf.clip_by_value(stored, 0.0, float(LARGEST)), tf.uint16)
    return tf.stack([_png(component) for component in tf.unstack(stored, axis=-1)])


def encode_image(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(PNG, range float32 `[2]`) of an image `[*spatial]`: value = low + stored / 65535 * (high - low)."""
    low, high = tf.reduce_min(image), tf.reduce_max(image)
    stored = tf.round((image - low) * (float(LARGEST) / tf.maximum(high - low, 1e-30)))
    return _png(tf.cast(tf.clip_by_value(stored, 0.0, float(LARGEST)), tf.uint16)), tf.stack([low, high])


def _png(stored: tf.Tensor) -> tf.Tensor:
    rows = tf.reshape(stored, [-1, tf.shape(stored)[-1], 1])
    return tf.io.encode_png(rows, compression=COMPRESSION)
