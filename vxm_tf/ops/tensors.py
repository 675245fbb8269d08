"""The type of what `ops`, layers and losses compute with."""

from collections.abc import Sequence
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the Keras backend, a `KerasTensor` while a model is built, or a NumPy array."""

Shape: TypeAlias = Sequence[int | None]
"""Sizes of axes; None for one that is known only when a tensor comes."""
