"""Resampling an image on another grid, with one interpolation."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from vxm_tf.spatial.grid import LATTICE_TOLERANCE, Grid
from vxm_tf.spatial.interpolation import answer_dtype, interpolate, interpolate_present, native
from vxm_tf.spatial.transforms import Transform, slabs


def resample(
    array: np.ndarray,
    grid: Grid,
    to_grid: Grid,
    transform: Transform | None = None,
    *,
    interpolation: str = "linear",
    fill_value: float | None = 0.0,
) -> np.ndarray:
    """An array on another grid: resampled(x) = array(transform(position of x)) for every voxel x of `to_grid`.

    The array is interpolated once, however long the chain of transforms is, and not at all if the voxels of both grids
    coincide. Linear interpolation leaves voxels that are NaN out; see `interpolate_present`.

    Args:
        array: `[*grid.shape]` or `[*grid.shape, channels]`.
        grid: grid of the array.
        to_grid: grid of the result, in the transform's fixed space.
        transform: transform from the world of `to_grid` to that of `grid`; None if both grids are in one world space.
        interpolation: "linear", or "nearest" for labels.
        fill_value: value more than half a voxel outside the array; None repeats its edge.

    Returns:
        `[*to_grid.shape]`, with `channels` if the array has them: float32 (float64 for float64) for "linear", the
        array's own dtype for "nearest".

    Raises:
        ValueError: unknown interpolation, or a fill value that the result's dtype cannot hold.
    """
    array = native(array)
    dtype = answer_dtype(array.dtype, interpolation, fill_value)
    if array.ndim == grid.ndim:
        channel = array[..., None]
        return resample(channel, grid, to_grid, transform, interpolation=interpolation, fill_value=fill_value)[..., 0]
    if transform is None and (lattice := _lattice(grid, to_grid)) is not None:
        axes, signs, first = lattice
        return _pick(array, axes, signs, first, to_grid.shape, fill_value, dtype)
    moved = np.empty((*to_grid.shape, array.shape[-1]), dtype)
    present = _present(array) if interpolation == "linear" else None
    array = array if present is None else np.nan_to_num(array)
    for start, stop in slabs(to_grid.shape):
        points = to_grid.slab_points(start, stop)
        points = points if transform is None else transform.map(points)
        indices = grid.to_indices(points)
        if present is None:
            moved[start:stop] = interpolate(array, indices, interpolation, fill_value)
        else:
            moved[start:stop] = interpolate_present(array, present, indices, fill_value)
    return moved


def _present(array: np.ndarray) -> np.ndarray | None:
    """1 where an array has a number and 0 where it has NaN, float32; None if it has no NaN."""
    if array.dtype.kind != "f":
        return None
    missing = np.isnan(array)
    return (~missing).astype("float32") if missing.any() else None


def smoothed_for(array: np.ndarray, grid: Grid, to_grid: Grid) -> np.ndarray:
    """An array smoothed so that it can be sampled on a coarser grid without aliasing.

    The standard deviation of the Gaussian is (r - 1) / 2 voxels along an axis that becomes r times coarser, as in
    `skimage.transform.resize`. If the voxels of `to_grid` are cubes, a rotation between the grids makes no difference.

    Args:
        array: `[*grid.shape, channels]`.
        grid: grid of the array.
        to_grid: grid that the array will be resampled on.

    Returns:
        `[*grid.shape, channels]`: float32, or the array itself where nothing needs smoothing.
    """
    ratios = np.linalg.norm(to_grid.step_from(grid)[:-1, :-1], axis=1)
    sigmas = np.maximum(0.0, (ratios - 1.0) / 2.0)
    if np.all(sigmas < 0.05):
        return array
    return ndimage.gaussian_filter(array.astype("float32"), (*sigmas, 0.0), mode="nearest")


def _lattice(grid: Grid, to_grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """(array axis, sign, first index) for each axis of `to_grid` if the voxels of both grids coincide, else None."""
    step = to_grid.step_from(grid)
    axes = np.abs(step[:-1, :-1]).argmax(axis=0)
    signs = np.round(step[axes, range(grid.ndim)])
    exact = np.zeros_like(step[:-1, :-1])
    exact[axes, range(grid.ndim)] = signs
    largest = max(*grid.shape, *to_grid.shape)
    offset = step[:-1, -1]
    if len(set(axes)) < grid.ndim or not np.all(np.abs(signs) == 1):
        return None
    if np.abs(step[:-1, :-1] - exact).max() * largest > LATTICE_TOLERANCE:
        return None
    if np.abs(offset - np.round(offset)).max() > LATTICE_TOLERANCE:
        return None
    return axes, signs.astype(int), np.round(offset).astype(int)[axes]


def _pick(
    array: np.ndarray,
    axes: np.ndarray,
    signs: np.ndarray,
    first: np.ndarray,
    shape: Sequence[int],
    fill_value: float | None,
    dtype: np.dtype,
) -> np.ndarray:
    """An array's voxels, taken by indexing without interpolation; `fill_value` or the edge outside the array."""
    array = np.transpose(array, (*axes, len(axes)))
    moved = np.full((*shape, array.shape[-1]), 0 if fill_value is None else fill_value, dtype)
    source, target = [], []
    for axis, (sign, begin, size) in enumerate(zip(signs, first, shape)):
        index = begin + sign * np.arange(size)
        if fill_value is None:
            index = index.clip(0, array.shape[axis] - 1)
        inside = np.flatnonzero((index >= 0) & (index < array.shape[axis]))
        if not len(inside):
            return moved
        target.append(slice(inside[0], inside[-1] + 1))
        source.append(index[inside])
    moved[tuple(target)] = array[np.ix_(*source)]
    return moved
