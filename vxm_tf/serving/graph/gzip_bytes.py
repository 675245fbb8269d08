"""Gzipped bytes in a graph."""

import tensorflow as tf

from vxm_tf.serving.graph.conditions import after, require

MAGIC = b"\x1f\x8b"
MAX_BYTES = 2**30


def is_gzip(content):
    """Whether bytes, a string scalar, begin as gzip does."""
    return tf.strings.substr(content, 0, 2) == MAGIC


def gunzip(content, name):
    """The bytes in a gzip archive.

    Its last four bytes tell the size, which is looked at first: what says to be larger than `MAX_BYTES` is refused.
    An archive that lies is inflated as far as memory goes, so a server at the edge should count as it inflates.
    """
    whole = after([require(tf.strings.length(content) >= 18, f"{name}: the gzip archive is cut short.")], content)
    size = tf.io.decode_raw(tf.strings.substr(whole, -4, 4), tf.int32)[0]
    fits = (size >= 0) & (size <= MAX_BYTES)
    check = require(fits, f"{name}: says to hold more than {MAX_BYTES} bytes once it is inflated.")
    return tf.io.decode_compressed(after([check], whole), compression_type="GZIP")


def maybe_gunzip(content, name):
    """The bytes themselves, or those in a gzip archive."""
    return tf.cond(is_gzip(content), lambda: gunzip(content, name), lambda: tf.identity(content))
