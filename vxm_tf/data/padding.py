"""Padding arrays of different sizes to one grid, and cropping them again."""

from collections.abc import Sequence
from typing import Literal

import numpy as np


def common_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The smallest spatial shape that holds arrays of all given spatial shapes."""
    return tuple(max(sizes) for sizes in zip(*shapes))


def pad_to(array: np.ndarray, shape: Sequence[int], mode: Literal["edge", "constant"] = "edge") -> np.ndarray:
    """An array centred on a larger grid.

    Args:
        array: `[*spatial]` or `[*spatial, channels]`.
        shape: spatial shape, no axis smaller than the array's.
        mode: `numpy.pad`'s mode: "edge" for images, "constant" (zeros) for labels.
    """
    padding = padding_to(array.shape, shape)
    if not any(before or after for before, after in padding):
        return array
    return np.pad(array, padding + [(0, 0)] * (array.ndim - len(shape)), mode=mode)


def crop_from(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The inverse of `pad_to`: the central part, of spatial shape `shape`, of an array `[*spatial, ...]`."""
    padding = padding_to(shape, array.shape[: len(shape)])
    return array[tuple(slice(before, before + size) for (before, _), size in zip(padding, shape))]


def padding_to(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int]]:
    """(voxels before, voxels after) along each axis that centre an array of shape `old` on a grid of shape `new`."""
    return [((n - o) // 2, n - o - (n - o) // 2) for o, n in zip(old, new)]
