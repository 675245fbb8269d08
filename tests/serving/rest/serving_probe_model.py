"""Write the model whose answers by TensorFlow Serving are recorded: versions 1 and 2, which multiply by 2 and by 3.

Run as `python serving_probe_model.py FOLDER`.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import tensorflow as tf


def spec(shape, dtype, name):
    return tf.TensorSpec(shape, dtype, name=name)


# Names of functions and inputs, and their order, are in the recorded metadata.
class Probe(tf.Module):
    def __init__(self, factor):
        self.k = tf.Variable(factor, dtype=tf.float32)

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def one(self, x):
        return {"y": x * self.k}

    @tf.function(input_signature=[spec([None, 2], tf.float32, "a"), spec([None, 2], tf.float32, "b")])
    def two(self, a, b):
        return {"sum": a + b, "diff": a - b}

    @tf.function(input_signature=[spec([None], tf.string, "s_in")])
    def strs(self, s_in):
        return {"raw": s_in, "out_bytes": s_in}

    @tf.function(input_signature=[spec([None], tf.string, "s_bytes")])
    def onebytes(self, s_bytes):
        return {"o_bytes": s_bytes}

    @tf.function(input_signature=[spec([], tf.string, "v"), spec([3], tf.int32, "shape")])
    def scal(self, v, shape):
        return {"len": tf.strings.length(v), "shape": shape, "v_bytes": v}

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def types(self, x):
        return {
            "i32": tf.cast(x, tf.int32),
            "i64": tf.cast(x, tf.int64),
            "u8": tf.cast(x, tf.uint8),
            "boo": x > 1,
            "f64": tf.cast(x, tf.float64),
            "nan": x * float("nan"),
            "inf": x / 0.0,
        }

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def half(self, x):
        return {"h": tf.cast(x, tf.float16)}

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def bf(self, x):
        return {"h": tf.cast(x, tf.bfloat16)}

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def ragged_batch(self, x):
        return {"full": x, "scalar": tf.reduce_sum(x)}

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def fail(self, x):
        tf.debugging.assert_less(x, 10.0, message="x too large")
        return {"y": tf.identity(x)}


def main(folder):
    for version, factor in ((1, 2.0), (2, 3.0)):
        probe = Probe(factor)
        signatures = {
            "serving_default": probe.one,
            "two": probe.two,
            "strs": probe.strs,
            "onebytes": probe.onebytes,
            "scal": probe.scal,
            "types": probe.types,
            "half": probe.half,
            "bf16": probe.bf,
            "ragged": probe.ragged_batch,
            "fail": probe.fail,
        }
        tf.saved_model.save(probe, f"{folder}/{version}", signatures=signatures)


if __name__ == "__main__":
    main(sys.argv[1])
