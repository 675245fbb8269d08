"""Sets the compiler of `vxm_tf.ops.fusion` for the Keras backend in use."""

import keras

from vxm_tf.ops import fusion


def enable_fusion() -> None:
    """Compile the element-wise functions that are marked `fused`, if TensorFlow is the backend.

    JAX and torch compile whole steps themselves, so they need no compiler here.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    fusion.set_compiler(lambda function: tf.function(function, jit_compile=True))
