"""Hands the backend's compiler to `vxm_tf.ops.fusion`."""

import keras

from vxm_tf.ops import fusion


def enable_fusion() -> None:
    """Let marked element-wise functions be compiled, where TensorFlow is the backend.

    JAX and torch compile whole steps themselves, so they need no help.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    fusion.set_compiler(lambda function: tf.function(function, jit_compile=True))
