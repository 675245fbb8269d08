"""Inflation of gzipped bytes in a graph."""

import tensorflow as tf

from vxm_tf.serving.graph.conditions import after, require

MAGIC = b"\x1f\x8b"
MAX_BYTES = 2**30


def is_gzip(content: tf.Tensor) -> tf.Tensor:
    """Whether bytes, a string scalar, begin like a gzip archive."""
    return tf.strings.substr(content, 0, 2) == MAGIC


def gunzip(content: tf.Tensor, name: str) -> tf.Tensor:
    """The bytes in a gzip archive.

    The last four bytes of the archive state its inflated size; an archive that states more than `MAX_BYTES` is refused.
    One that states too little is still inflated as far as memory goes, so a public server should count while inflating.
    """
    whole = after([require(tf.strings.length(content) >= 18, f"{name}: the gzip archive is cut short.")], content)
    size = tf.io.decode_raw(tf.strings.substr(whole, -4, 4), tf.int32)[0]
    fits = (size >= 0) & (size <= MAX_BYTES)
    check = require(fits, f"{name}: says to hold more than {MAX_BYTES} bytes once it is inflated.")
    return tf.io.decode_compressed(after([check], whole), compression_type="GZIP")


def maybe_gunzip(content: tf.Tensor, name: str) -> tf.Tensor:
    """Bytes, inflated if they are a gzip archive."""
    return tf.cond(is_gzip(content), lambda: gunzip(content, name), lambda: tf.identity(content))
