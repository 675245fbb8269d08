"""Bringing arrays of different sizes onto one grid without losing a voxel."""

import numpy as np


def common_shape(*shapes) -> tuple:
    """The smallest spatial shape that holds them all."""
    return tuple(max(sizes) for sizes in zip(*shapes))


def pad_to(array, shape, mode: str = "edge"):
    """`array` in the middle of a larger grid.

    Args:
        array: `[*spatial]` or `[*spatial, channels]`.
        shape: spatial shape, no axis smaller than the array's.
        mode: of `numpy.pad`: "edge" for images, "constant" (zeros) for labels.
    """
    padding = padding_to(array.shape, shape)
    if not any(before or after for before, after in padding):
        return array
    return np.pad(array, padding + [(0, 0)] * (array.ndim - len(shape)), mode=mode)


def crop_from(array, shape):
    """The part of a padded array that `pad_to` put the original of spatial `shape` in."""
    padding = padding_to(shape, array.shape[: len(shape)])
    return array[tuple(slice(before, before + size) for (before, _), size in zip(padding, shape))]


def padding_to(old, new):
    """(before, after) for each axis of `new`."""
    return [((n - o) // 2, n - o - (n - o) // 2) for o, n in zip(old, new)]
