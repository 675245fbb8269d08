"""Compile element-wise functions to one pass over memory, where the backend offers a compiler.

Sampling is some fifty element-wise operations per voxel. Run one by one they read and write the volume
fifty times; compiled together, once. `vxm_tf.ops` depends on no particular backend, so `vxm_tf.backend` sets the
compiler with `set_compiler`.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import keras

from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import is_static

Compiler: TypeAlias = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]

_compiler: Compiler | None = None
_overrides: list[Compiler | None] = []


def set_compiler(compiler: Compiler | None) -> None:
    """Use `compiler(function) -> function` for functions marked `fused`; None switches compilation off."""
    global _compiler
    _compiler = compiler


class compiled_by:
    """Context in which `compiler` compiles functions of known and unknown shapes; None switches compilation off."""

    def __init__(self, compiler: Compiler | None) -> None:
        self.compiler = compiler

    def __enter__(self) -> None:
        _overrides.append(self.compiler)

    def __exit__(self, *_: object) -> None:
        _overrides.pop()


def unfused() -> compiled_by:
    """Context in which nothing is compiled."""
    return compiled_by(None)


def fused(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Mark `function(*tensors, *settings)` as worth compiling.

    The function is compiled only where all spatial sizes are known, or in the context of `compiled_by`: compiled code
    serves one shape, so volumes of many shapes would be compiled again and again.
    """
    compiled: dict[tuple[Compiler, tuple], Callable[..., Tensor]] = {}

    @functools.wraps(function)
    def call(*args: Any) -> Tensor:
        tensors = [a for a in args if _is_array(a)]
        settings = tuple(a for a in args if not _is_array(a))
        compiler = _overrides[-1] if _overrides else _compiler
        symbolic = any(isinstance(t, keras.KerasTensor) for t in tensors)
        if compiler is None or symbolic or not _is_hashable(settings) or not (_overrides or is_static(*tensors)):
            return function(*args)
        if (compiler, settings) not in compiled:
            compiled[compiler, settings] = compiler(lambda *tensors: function(*tensors, *settings))
        return compiled[compiler, settings](*tensors)

    return call


def _is_array(argument: Any) -> bool:
    """Whether an argument is a tensor; a scalar, NumPy's included, is a setting."""
    return len(getattr(argument, "shape", ())) > 0


def _is_hashable(settings: tuple) -> bool:
    """Whether settings are plain values; a size that is itself a tensor is known only when the graph runs."""
    try:
        hash(settings)
    except TypeError:
        return False
    return True
