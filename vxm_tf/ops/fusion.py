"""Element-wise functions compiled to one pass over memory, where a backend offers that.

Sampling is some fifty element-wise operations a voxel. Run one by one they read and write the volume
fifty times; compiled together, once. This floor knows no backend, so `vxm_tf.backend` hands over the
compiler with `set_compiler`.
"""

import functools

import keras

from vxm_tf.ops.voxel_grid import is_static

_compiler = None
_instead = []


def set_compiler(compiler):
    """Use `compiler(function) -> function` for functions marked `fused`; None switches it off."""
    global _compiler
    _compiler = compiler


class compiled_by:
    """Context in which `compiler` is used instead, whatever is known of the shapes; None compiles nothing."""

    def __init__(self, compiler):
        self.compiler = compiler

    def __enter__(self):
        _instead.append(self.compiler)

    def __exit__(self, *_):
        _instead.pop()


def unfused():
    """Context in which nothing is compiled."""
    return compiled_by(None)


def fused(function):
    """Mark `function(*tensors, *settings)` as worth compiling.

    It is compiled only where all spatial sizes are known, or by another compiler (`compiled_by`): a compiled function
    belongs to one shape, and volumes of ever-changing shapes would be compiled again and again.
    """
    compiled = {}

    @functools.wraps(function)
    def call(*args):
        tensors = [a for a in args if _is_array(a)]
        settings = tuple(a for a in args if not _is_array(a))
        compiler = _instead[-1] if _instead else _compiler
        symbolic = any(isinstance(t, keras.KerasTensor) for t in tensors)
        if compiler is None or symbolic or not _is_hashable(settings) or not (_instead or is_static(*tensors)):
            return function(*args)
        if (compiler, settings) not in compiled:
            compiled[compiler, settings] = compiler(lambda *tensors: function(*tensors, *settings))
        return compiled[compiler, settings](*tensors)

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
