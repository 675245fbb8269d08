"""Conversion between numbers and bytes in a graph."""

import tensorflow as tf

# Key: NIfTI's code of a type. Value: (dtype for decode_raw, bytes of a number, summand that makes negative numbers
# unsigned).
KINDS = {
    2: (tf.uint8, 1, 0.0),
    256: (tf.int8, 1, 0.0),
    4: (tf.int16, 2, 0.0),
    512: (tf.uint16, 2, 0.0),
    8: (tf.int32, 4, 0.0),
    768: (tf.int32, 4, 2.0**32),
    1024: (tf.int64, 8, 0.0),
    1280: (tf.int64, 8, 2.0**64),
    16: (tf.float32, 4, 0.0),
    64: (tf.float64, 8, 0.0),
}


def numbers(content: tf.Tensor, code: int, little_endian: bool = True) -> tf.Tensor:
    """Numbers float64 `[count]` from bytes that hold them as the type of a NIfTI code."""
    dtype, _, wrap = KINDS[code]
    values = tf.cast(tf.io.decode_raw(content, dtype, little_endian=little_endian), tf.float64)
    return tf.where(values < 0, values + wrap, values) if wrap else values


def to_bytes(tensor: tf.Tensor) -> tf.Tensor:
    """A tensor's numbers as bytes, little-endian, last axis fastest.

    TensorFlow has no operation for this, but a serialised tensor ends with these bytes.
    """
    size = tf.size(tensor, out_type=tf.int64) * tensor.dtype.size
    whole = tf.io.serialize_tensor(tensor)
    return tf.strings.substr(whole, tf.cast(tf.strings.length(whole), tf.int64) - size, size)
