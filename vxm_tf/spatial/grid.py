"""Grids of voxels in world space: a shape and the affine from voxel indices to millimetres."""

import dataclasses

import nibabel
import numpy as np
from numpy.typing import ArrayLike

from vxm_tf.files.errors import InputError

# Largest distance, in voxels, between lattices that count as the same.
LATTICE_TOLERANCE = 1e-3
# Largest distance, in voxels, between the places of one voxel in two grids that count as the same; headers are rounded.
SAME_GRID_VOXELS = 1e-2
# (negative direction, positive direction) of each world axis: left and right, posterior and anterior, inferior and
# superior.
ENDS = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxels in world space.

    World coordinates are NIfTI's: positions of voxel centres in millimetres, with axes towards right, anterior and
    superior (RAS+). An image with two axes has two world axes, those of its plane.

    Args:
        shape: number of voxels along each of the `ndim` axes.
        affine: `[ndim + 1, ndim + 1]`, homogeneous, voxel indices to world millimetres.

    Raises:
        InputError: an axis without voxels; an affine of another size, with values that are not finite, or singular.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.spatial import Grid
    >>> grid = Grid((4, 5, 6), np.diag([2.0, 2.0, 3.0, 1.0]))
    >>> grid.spacing_mm, grid.orientation
    ((2.0, 2.0, 3.0), 'RAS')
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, "float64")
        ndim = len(self.shape)
        if affine.shape != (ndim + 1, ndim + 1):
            raise InputError(f"A grid with {ndim} axes has an affine of {ndim + 1} rows; got shape {affine.shape}.")
        if any(size < 1 for size in self.shape):
            raise InputError(f"A grid has at least one voxel along each axis; got shape {tuple(self.shape)}.")
        check_affine(affine)
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "affine", affine)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance between neighbouring voxel centres along each axis, in millimetres."""
        return tuple(float(size) for size in np.linalg.norm(self.affine[:-1, :-1], axis=0))

    @property
    def orientation(self) -> str:
        """The world direction nearest to each axis, such as "LIA" for left, inferior, anterior."""
        return "".join(nibabel.aff2axcodes(self.affine, ENDS[: self.ndim]))

    @property
    def centre_mm(self) -> np.ndarray:
        """World position of the middle of the field of view, in millimetres."""
        return self.to_world((np.array(self.shape) - 1) / 2)

    def to_world(self, indices: ArrayLike) -> np.ndarray:
        """World positions `[..., ndim]` in millimetres, float64, of voxel indices `[..., ndim]`."""
        return apply_affine(self.affine, indices)

    def to_indices(self, points_mm: ArrayLike) -> np.ndarray:
        """Fractional voxel indices `[..., ndim]`, float64, of world positions `[..., ndim]` in millimetres."""
        return apply_affine(np.linalg.inv(self.affine), points_mm)

    def slab_points(self, start: int, stop: int) -> np.ndarray:
        """World positions in millimetres of the voxels `start:stop` of the first axis.

        Returns:
            float64 `[stop - start, *shape[1:], ndim]`.
        """
        indices = np.meshgrid(np.arange(start, stop), *map(np.arange, self.shape[1:]), indexing="ij")
        return self.to_world(np.stack(indices, axis=-1))

    def points(self) -> np.ndarray:
        """World position of every voxel, `[*shape, ndim]`, float64, in millimetres."""
        return self.slab_points(0, self.shape[0])

    def sample_points(self, count: int = 12) -> np.ndarray:
        """World positions in millimetres of `count` places along each axis, from the first voxel to the last.

        Returns:
            float64 `[count^ndim, ndim]`.
        """
        axes = [np.linspace(0, size - 1, count) for size in self.shape]
        return self.to_world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, self.ndim))

    def contains(self, points_mm: ArrayLike) -> np.ndarray:
        """Whether each point `[..., ndim]` lies in the field of view, half a voxel beyond the outermost centres.

        Returns:
            Bool `[...]`.
        """
        indices = self.to_indices(points_mm)
        return np.all((indices >= -0.5) & (indices <= np.array(self.shape) - 0.5), axis=-1)

    def step_from(self, other: "Grid") -> np.ndarray:
        """The affine `[ndim + 1, ndim + 1]` from this grid's voxel indices to the other's."""
        return np.linalg.inv(other.affine) @ self.affine


def same_grid(first: Grid, second: Grid) -> bool:
    """Whether two grids have one shape and place every voxel alike, to within `SAME_GRID_VOXELS` of a voxel.

    Every part of the package that lays one array on another voxel by voxel asks this function first.
    `vxm_tf.spatial.headers.share_grid` asks it for two volumes in files.

    Args:
        first: a grid.
        second: a grid; the tolerance counts in its voxels.
    """
    if first.shape != second.shape:
        return False
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in first.shape])).reshape(first.ndim, -1).T
    return bool(np.abs(apply_affine(first.step_from(second), corners) - corners).max() < SAME_GRID_VOXELS)


def check_affine(affine: np.ndarray) -> None:
    """Raise `InputError` unless an affine is square and homogeneous, finite and can be inverted."""
    if affine.ndim != 2 or affine.shape[0] != affine.shape[1] or len(affine) < 2:
        raise InputError(f"An affine has as many rows as columns, one more than the space axes; got {affine.shape}.")
    if not np.all(np.isfinite(affine)):
        raise InputError(f"An affine holds finite numbers; got\n{affine}")
    # A transposed affine has its shift in the last row.
    if not np.allclose(affine[-1], np.eye(len(affine))[-1], rtol=0, atol=1e-6):
        raise InputError(f"The last row of an affine holds zeros and a one. Is it transposed? It is\n{affine}")
    axes = affine[:-1, :-1]
    sizes = np.linalg.norm(axes, axis=0)
    if np.any(sizes < 1e-6) or abs(np.linalg.det(axes / np.maximum(sizes, 1e-6))) < 1e-4:
        raise InputError(
            f"The affine is singular: it maps the volume onto a plane, a line or a point, so voxels have no place in "
            f"space. Repair the header, for example from the scanner's files. It is\n{affine}"
        )


def apply_affine(affine: np.ndarray, points: ArrayLike) -> np.ndarray:
    """Points `[..., ndim]` mapped by a homogeneous matrix `[ndim + 1, ndim + 1]`, float64."""
    moved = np.asarray(points, "float64") @ affine[:-1, :-1].T
    moved += affine[:-1, -1]
    return moved


def check_orientation(orientation: str, ndim: int) -> None:
    """Raise `InputError` unless an orientation such as "LIA" names each world axis once."""
    ends = ENDS[:ndim]
    if len(orientation) != ndim or any(sum(letter in orientation for letter in pair) != 1 for pair in ends):
        raise InputError(
            f"An orientation of {ndim} axes has one letter of each of {', '.join('/'.join(p) for p in ends)}, "
            f"such as {'LIA' if ndim == 3 else 'RA'}; got {orientation!r}."
        )


def axis_map(grid: Grid, orientation: str) -> np.ndarray:
    """The swaps and flips that bring a grid's axes into another orientation, `[ndim, 2]` in the form of nibabel.

    Raises:
        InputError: an orientation that does not name each world axis once.
    """
    check_orientation(orientation, grid.ndim)
    now = nibabel.io_orientation(grid.affine)
    wanted = nibabel.orientations.axcodes2ornt(orientation, ENDS[: grid.ndim])
    return nibabel.orientations.ornt_transform(now, wanted)


def reoriented(array: np.ndarray, grid: Grid, orientation: str) -> tuple[np.ndarray, Grid]:
    """Return (array, grid) with axes swapped and flipped into an orientation; voxels keep their values and positions.

    Args:
        array: `[*spatial]` or `[*spatial, channels]`.
        grid: grid of the array.
        orientation: directions of the axes, such as "RAS".

    Raises:
        InputError: an orientation that does not name each world axis once.
    """
    axes = axis_map(grid, orientation)
    turned = nibabel.orientations.apply_orientation(array, axes)
    return turned, reoriented_grid(grid, orientation)


def reoriented_grid(grid: Grid, orientation: str) -> Grid:
    """A grid with its axes swapped and flipped into an orientation; see `reoriented`."""
    axes = axis_map(grid, orientation)
    back = nibabel.orientations.inv_ornt_aff(axes, grid.shape)
    shape = np.array(grid.shape)[np.argsort(axes[:, 0])]
    return Grid(tuple(shape), grid.affine @ back)
