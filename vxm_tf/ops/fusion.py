"""Element-wise functions compiled to one pass over memory, where a backend offers that.

Sampling is some fifty element-wise operations a voxel. Run one by one they read and write the volume
fifty times; compiled together, once. This floor knows no backend, so `vxm_tf.backend` hands over the
compiler with `set_compiler`.
"""

import functools

import keras

from vxm_tf.ops.grid import is_static

_compiler = None
_suspended = 0


def set_compiler(compiler):
    """Use `compiler(function) -> function` for functions marked `fused`; None switches it off."""
    global _compiler
    _compiler = compiler


class unfused:
    """Context in which nothing is compiled: for graphs that other programs will run."""

    def __enter__(self):
        global _suspended
        _suspended += 1

    def __exit__(self, *_):
        global _suspended
        _suspended -= 1


def fused(function):
    """Mark `function(*tensors, *settings)` as worth compiling.

    It is compiled only where all spatial sizes are known: a compiled function belongs to one shape,
    and volumes of ever-changing shapes would be compiled again and again.
    """
    compiled = {}

    @functools.wraps(function)
    def call(*args):
        tensors = [a for a in args if _is_array(a)]
        settings = tuple(a for a in args if not _is_array(a))
        symbolic = any(isinstance(t, keras.KerasTensor) for t in tensors)
        if _compiler is None or _suspended or symbolic or not (is_static(*tensors) and _is_hashable(settings)):
            return function(*args)
        if (_compiler, settings) not in compiled:
            compiled[_compiler, settings] = _compiler(lambda *tensors: function(*tensors, *settings))
        return compiled[_compiler, settings](*tensors)

    return call


def _is_array(argument) -> bool:
    """Whether an argument is a tensor; a scalar, NumPy's included, is a setting."""
    return len(getattr(argument, "shape", ())) > 0


def _is_hashable(settings) -> bool:
    """Whether settings are plain values: a size that is itself a tensor is known only when the graph runs."""
    try:
        hash(settings)
    except TypeError:
        return False
    return True
