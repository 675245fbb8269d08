"""An image on another grid, by one interpolation."""

import numpy as np
from scipy import ndimage

from vxm_tf.spatial.grid import LATTICE_TOLERANCE, Grid
from vxm_tf.spatial.interpolation import answer_dtype, interpolate, native
from vxm_tf.spatial.transforms import slabs


def resample(array, grid: Grid, to_grid: Grid, transform=None, *, interpolation="linear", fill_value=0.0):
    """resampled(x) = array at transform(position of x), for every voxel x of `to_grid`.

    However long the chain of transforms, the array is interpolated once. Where voxels fall on voxels nothing is
    interpolated at all.

    Args:
        array: `[*grid.shape]` or `[*grid.shape, channels]`.
        grid: of the array.
        to_grid: of the answer, in the transform's fixed space.
        transform: from `to_grid`'s world to `grid`'s; None where they are one.
        interpolation: "linear", or "nearest" for labels.
        fill_value: more than half a voxel outside the array; None repeats its edge.

    Returns:
        `[*to_grid.shape]`, with `channels` if the array has them: float32 (float64 for float64) for "linear", the
        array's own dtype for "nearest".

    Raises:
        ValueError: unknown interpolation, or a fill value that the answer's dtype cannot hold.
    """
    array = native(array)
    dtype = answer_dtype(array.dtype, interpolation, fill_value)
    if array.ndim == grid.ndim:
        options = {"interpolation": interpolation, "fill_value": fill_value}
        return resample(array[..., None], grid, to_grid, transform, **options)[..., 0]
    if transform is None and (lattice := _lattice(grid, to_grid)) is not None:
        return _pick(array, *lattice, to_grid.shape, fill_value, dtype)
    moved = np.empty((*to_grid.shape, array.shape[-1]), dtype)
    for start, stop in slabs(to_grid.shape):
        points = to_grid.slab_points(start, stop)
        points = points if transform is None else transform.map(points)
        moved[start:stop] = interpolate(array, grid.to_indices(points), interpolation, fill_value)
    return moved


def smoothed_for(array, grid: Grid, to_grid: Grid) -> np.ndarray:
    """`array` without the detail that a coarser grid cannot hold.

    Gaussian of (r - 1) / 2 voxels along an axis that becomes r times coarser, as `skimage.transform.resize` does; how
    the grids are turned against each other makes no difference where the voxels of `to_grid` are cubes.

    Args:
        array: `[*grid.shape, channels]`.
    """
    ratios = np.linalg.norm(to_grid.step_from(grid)[:-1, :-1], axis=1)
    sigmas = np.maximum(0.0, (ratios - 1.0) / 2.0)
    if np.all(sigmas < 0.05):
        return array
    return ndimage.gaussian_filter(array.astype("float32"), (*sigmas, 0.0), mode="nearest")


def _lattice(grid, to_grid):
    """(array axis of each axis of `to_grid`, sign, first index) where voxels fall on voxels, else None."""
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


def _pick(array, axes, signs, first, shape, fill_value, dtype):
    """The voxels themselves, by slicing, `fill_value` or the edge outside."""
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
