"""Types that operations, layers, losses and networks share."""

from collections.abc import Sequence
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the Keras backend, a `KerasTensor` while a model is built, or a NumPy array."""

Shape: TypeAlias = Sequence[int | None]
"""Sizes of axes; None for a size that is known only at run time."""
