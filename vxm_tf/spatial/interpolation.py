"""Interpolation of arrays at float64 locations, for whole volumes on a CPU."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from vxm_tf.machine import threads

ORDERS = {"nearest": 0, "linear": 1}
_CHUNK = 2**18


def interpolate(
    array: np.ndarray, indices: ArrayLike, interpolation: str = "linear", fill_value: float | None = 0.0
) -> np.ndarray:
    """An array's values at any locations.

    A voxel reaches half a voxel beyond its centre. Up to half a voxel beyond the outermost centres the edge is
    repeated, as in ITK; locations further out get `fill_value`.

    Args:
        array: `[*spatial, channels]`.
        indices: `[..., ndim]`, voxel indices with fractions.
        interpolation: "linear", or "nearest" for labels.
        fill_value: value outside the array; None repeats the edge everywhere.

    Returns:
        `[..., channels]`: float32 or float64 for "linear", the array's dtype for "nearest", see `native`.

    Raises:
        ValueError: unknown interpolation, or a fill value that the result's dtype cannot hold.
    """
    array = native(array)
    dtype = answer_dtype(array.dtype, interpolation, fill_value)
    locations = np.asarray(indices, "float64")
    coordinates = locations.reshape(-1, locations.shape[-1]).T
    values = np.empty((coordinates.shape[1], array.shape[-1]), dtype)

    # SciPy computes in float64, which skips some whole numbers of 64 bits.
    wide = interpolation == "nearest" and dtype.kind in "iu" and dtype.itemsize == 8

    def fill(start: int) -> None:
        piece = np.ascontiguousarray(coordinates[:, start : start + _CHUNK])
        if wide:
            nearest = np.floor(piece + 0.5).astype(int).T.clip(0, np.array(array.shape[:-1]) - 1)
            values[start : start + _CHUNK] = array[tuple(nearest.T)]
        for channel in () if wide else range(array.shape[-1]):
            values[start : start + _CHUNK, channel] = ndimage.map_coordinates(
                array[..., channel], piece, output=dtype, order=ORDERS[interpolation], mode="nearest", prefilter=False
            )
        if fill_value is not None:
            values[start : start + _CHUNK][~_inside(piece, array.shape[:-1])] = fill_value

    # SciPy releases Python's global lock while it interpolates.
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(fill, range(0, len(values), _CHUNK)))
    return values.reshape(*locations.shape[:-1], array.shape[-1])


def interpolate_present(
    array: np.ndarray, present: np.ndarray, indices: ArrayLike, fill_value: float | None = 0.0
) -> np.ndarray:
    """An array's values at any locations, linearly, from the voxels that are present.

    The weights of the voxels around a location are divided by their sum over those that are present. A location gets
    NaN where more than half of the weight belongs to voxels that are missing, so that a region without values keeps its
    border to within half a voxel.

    Args:
        array: float `[*spatial, channels]`, with 0 in voxels that are missing.
        present: float32 `[*spatial, channels]`, 1 in voxels that are present and 0 elsewhere.
        indices: `[..., ndim]`, voxel indices with fractions.
        fill_value: value outside the array; None repeats the edge everywhere.

    Returns:
        `[..., channels]`, float32 or float64.
    """
    values = interpolate(array, indices, fill_value=fill_value)
    weights = interpolate(present, indices, fill_value=None if fill_value is None else 1.0)
    # Half the weight, up to rounding, is enough.
    enough = weights > 0.5 - 1e-6
    return np.where(enough, values / np.where(enough, weights, 1), np.nan).astype(values.dtype, copy=False)


def native(array: ArrayLike) -> np.ndarray:
    """An array in the machine's byte order, floats in 32 or 64 bits, so that SciPy makes no copies."""
    values = np.asarray(array)
    dtype = values.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype("float32" if dtype.itemsize < 4 else "float64")
    return values.astype(dtype, copy=False)


def answer_dtype(dtype: np.dtype, interpolation: str, fill_value: float | None) -> np.dtype:
    """The dtype of the values that interpolation in an array of type `dtype` returns.

    Raises:
        ValueError: unknown interpolation, or a fill value that the type cannot hold.
    """
    if interpolation not in ORDERS:
        raise ValueError(f"interpolation is one of {', '.join(map(repr, ORDERS))}; got {interpolation!r}.")
    if interpolation == "linear":
        return dtype if dtype in ("float32", "float64") else np.dtype("float32")
    if fill_value is not None and dtype.kind in "biu":
        with np.errstate(invalid="ignore"):
            held = np.array(fill_value).astype(dtype)
        if held != fill_value:
            raise ValueError(f"fill_value is {fill_value:g}, which voxels of type {dtype} cannot hold.")
    return dtype


def _inside(coordinates: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    inside = np.ones(coordinates.shape[1], bool)
    for coordinate, size in zip(coordinates, shape):
        inside &= (coordinate >= -0.5) & (coordinate <= size - 0.5)
    return inside
