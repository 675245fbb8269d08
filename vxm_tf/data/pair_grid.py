"""The one grid on which a moving and a fixed scan are laid, through their headers where these differ."""

import itertools
from collections.abc import Sequence

import numpy as np

from vxm_tf.data.padding import common_shape, pad_to
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import SAME_GRID_VOXELS, Grid, same_grid
from vxm_tf.spatial.headers import says_same
from vxm_tf.spatial.resampling import resample, smoothed_for


def pair_grid(
    moving: Grid | None, fixed: Grid | None, moving_shape: Sequence[int], fixed_shape: Sequence[int]
) -> Grid | tuple[int, ...]:
    """The grid that holds both scans of a pair.

    - Both headers state a position, and the grids differ: the fixed scan's voxels, continued as far as the moving scan
      reaches.
    - Otherwise a shape, on which both arrays are centred; it is their own shape if they have one shape.

    Args:
        moving: grid of the moving scan, None if its file states no position.
        fixed: grid of the fixed scan, None if its file states no position.
        moving_shape: spatial shape of the moving scan.
        fixed_shape: spatial shape of the fixed scan.
    """
    if moving is None or fixed is None or same_grid(moving, fixed):
        return common_shape(moving_shape, fixed_shape)
    return covering(fixed, fixed, moving)


def covering(lattice: Grid, *grids: Grid) -> Grid:
    """The grid with the voxel positions of a lattice that just reaches over the voxel centres of all given grids."""
    indices = [lattice.to_indices(_corners(grid)) for grid in grids]
    low = np.floor(np.min([i.min(axis=0) for i in indices], axis=0) + SAME_GRID_VOXELS).astype(int)
    high = np.ceil(np.max([i.max(axis=0) for i in indices], axis=0) - SAME_GRID_VOXELS).astype(int)
    affine = lattice.affine.copy()
    affine[:-1, -1] = lattice.to_world(low)
    return Grid(tuple((high - low + 1).tolist()), affine)


def laid_image(image: np.ndarray, grid: Grid | None, onto: Grid | tuple[int, ...]) -> np.ndarray:
    """An image on the grid of its pair, beyond its field of view with its edge repeated.

    Images are resampled as `vxm-register` does: smoothed where the new voxels are larger, interpolated linearly, and
    only copied where voxels coincide.

    Args:
        image: `[*spatial, channels]`.
        grid: grid of the image; may be None if `onto` is a shape.
        onto: the grid or the shape from `pair_grid`.
    """
    if grid is None or not isinstance(onto, Grid):
        return pad_to(image, _shape(onto))
    return resample(smoothed_for(image, grid, onto), grid, onto, fill_value=None)


def laid_labels(labels: np.ndarray, grid: Grid | None, onto: Grid | tuple[int, ...]) -> np.ndarray:
    """A label map on the grid of its pair by nearest neighbour, 0 beyond its field of view; see `laid_image`."""
    if grid is None or not isinstance(onto, Grid):
        return pad_to(labels, _shape(onto), mode="constant")
    return resample(labels, grid, onto, interpolation="nearest", fill_value=0)


def shared_lattice(grids: Sequence[Grid | None]) -> Grid | None:
    """A grid whose voxel size and directions all grids share; None if they differ or none is stated."""
    stated = [grid for grid in grids if grid is not None]
    alike = stated and all(_parallel(stated[0], grid) for grid in stated)
    return stated[0] if alike else None


def first_apart(grids: Sequence[Grid]) -> tuple[int, int] | None:
    """Indices of two grids whose fields of view have no common place in world space; None if there are no two."""
    boxes = np.array([(corners.min(axis=0), corners.max(axis=0)) for corners in map(_corners, grids)])
    # Boxes along one set of axes meet in pairs if and only if all of them have a common point.
    lowest, highest = boxes[:, 0].argmax(axis=0), boxes[:, 1].argmin(axis=0)
    for axis, (one, other) in enumerate(zip(lowest, highest)):
        if boxes[one, 0, axis] > boxes[other, 1, axis]:
            return int(one), int(other)
    return None


def atlas_grid(atlas: Grid | None, scans: Sequence[Grid | None]) -> Grid | None:
    """The grid that an atlas is brought onto before training or scoring: the scans' own, or one of their voxels.

    Args:
        atlas: grid of the atlas, None if its file states no position.
        scans: grids of the scans.

    Returns:
        The scans' grid if they share one; else the atlas' field of view in the scans' voxels; None where the atlas
        stays as it is, because scans or atlas state no position or the scans' voxels differ.
    """
    lattice = shared_lattice(scans)
    if atlas is None or lattice is None or atlas.ndim != lattice.ndim:
        return None
    if all(grid is None or same_grid(grid, lattice) for grid in scans):
        return lattice
    return covering(lattice, atlas)


def check_common_place(scans: Sequence[tuple[str, Grid | None]]) -> None:
    """Raise `InputError` if two of some scans have no common place in world space.

    Args:
        scans: name and grid of each scan; a grid that is None, because the file states no position, is passed over.
    """
    placed = [(name, grid) for name, grid in scans if grid is not None]
    apart = first_apart([grid for _, grid in placed]) if len(placed) > 1 else None
    if apart:
        (one, first), (other, second) = (placed[k] for k in apart)
        centres = [tuple(round(float(value), 1) for value in grid.centre_mm) for grid in (first, second)]
        raise InputError(
            f"{one} and {other} have no common place in world space: their fields of view are centred at {centres[0]} "
            f"and {centres[1]} mm. Align the scans to one image first (vxm-register --affine register --moved)."
        )


def _shape(onto: Grid | tuple[int, ...]) -> tuple[int, ...]:
    return onto.shape if isinstance(onto, Grid) else onto


def _parallel(first: Grid, second: Grid) -> bool:
    step = second.step_from(first)[:-1, :-1]
    reach = np.abs(step - np.eye(len(step))) * np.array(second.shape)
    return says_same(first.spacing_mm, second.spacing_mm) and bool(reach.max() < 0.5)


def _corners(grid: Grid) -> np.ndarray:
    return grid.to_world(np.array(list(itertools.product(*[(0, size - 1) for size in grid.shape]))))
