"""Values of an array between its voxels, in float64 locations, for whole volumes on a CPU."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import ndimage

ORDERS = {"nearest": 0, "linear": 1}
_CHUNK = 2**18


def interpolate(array, indices, interpolation: str = "linear", fill_value: float | None = 0.0) -> np.ndarray:
    """`array` at any locations.

    A voxel reaches half a voxel beyond its centre, so at most half a voxel outside the outermost centres the edge is
    repeated, as ITK does; further out comes `fill_value`.

    Args:
        array: `[*spatial, channels]`.
        indices: `[..., ndim]`, voxel indices with fractions.
        interpolation: "linear", or "nearest" for labels.
        fill_value: outside; None repeats the edge everywhere.

    Returns:
        `[..., channels]`: float32 or float64 for "linear", the array's dtype for "nearest", see `native`.

    Raises:
        ValueError: unknown interpolation, or a fill value that the answer's dtype cannot hold.
    """
    array = native(array)
    dtype = answer_dtype(array.dtype, interpolation, fill_value)
    indices = np.asarray(indices, "float64")
    coordinates = indices.reshape(-1, indices.shape[-1]).T
    values = np.empty((coordinates.shape[1], array.shape[-1]), dtype)

    def fill(start):
        piece = np.ascontiguousarray(coordinates[:, start : start + _CHUNK])
        for channel in range(array.shape[-1]):
            values[start : start + _CHUNK, channel] = ndimage.map_coordinates(
                array[..., channel], piece, output=dtype, order=ORDERS[interpolation], mode="nearest", prefilter=False
            )
        if fill_value is not None:
            values[start : start + _CHUNK][~_inside(piece, array.shape[:-1])] = fill_value

    # SciPy lets go of Python's lock while it interpolates.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(0, len(values), _CHUNK)))
    return values.reshape(*indices.shape[:-1], array.shape[-1])


def native(array) -> np.ndarray:
    """An array as SciPy takes it without copies: in the machine's byte order, floats of 32 or 64 bits."""
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype("float32" if dtype.itemsize < 4 else "float64")
    return array.astype(dtype, copy=False)


def answer_dtype(dtype, interpolation: str, fill_value) -> np.dtype:
    """The type of interpolated values.

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


def _inside(coordinates, shape):
    inside = np.ones(coordinates.shape[1], bool)
    for coordinate, size in zip(coordinates, shape):
        inside &= (coordinate >= -0.5) & (coordinate <= size - 0.5)
    return inside
