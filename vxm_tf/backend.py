"""Settings of the Keras backend in use: the compiler of `vxm_tf.ops.fusion`, and the number of threads."""

import contextlib

import keras

from vxm_tf import machine
from vxm_tf.files.errors import InputError
from vxm_tf.ops import fusion


def enable_fusion() -> None:
    """Compile the element-wise functions that are marked `fused`, if TensorFlow is the backend.

    JAX and torch compile whole steps themselves, so they need no compiler here.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    fusion.set_compiler(lambda function: tf.function(function, jit_compile=True))


def find_devices() -> None:
    """Let TensorFlow look for its devices, if it is the backend; no pool of threads starts yet."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.list_physical_devices()


def limit_threads() -> None:
    """Give TensorFlow as many threads as `vxm_tf.machine` counts, unless the program chose a number or computes now."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads():
        # The program has chosen a number by TensorFlow's own function.
        return
    # A command reports a wrong number itself; a library is imported all the same.
    with contextlib.suppress(InputError):
        machine.use_threads()
