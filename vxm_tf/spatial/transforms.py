"""Maps of world space: affine, dense, and chains of both.

Every transform maps points of the fixed space to points of the moving space, so that
moved(p) = moving(transform(p)) for a world position p, in millimetres, RAS+.
"""

import dataclasses
from typing import Protocol

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import Grid, apply_affine, check_affine
from vxm_tf.spatial.interpolation import interpolate, native

OUTSIDE = ("nearest", "zero")


class Transform(Protocol):
    """A map of world space, from fixed to moving."""

    @property
    def ndim(self) -> int:
        """Number of world axes."""

    def map(self, points_mm) -> np.ndarray:
        """Points `[..., ndim]` of the fixed space in the moving space, millimetres, float64."""


@dataclasses.dataclass(frozen=True, eq=False)
class AffineTransform:
    """p -> A p.

    Args:
        matrix: `[ndim + 1, ndim + 1]`, homogeneous, world millimetres to world millimetres.

    Raises:
        InputError: a matrix that cannot be inverted.
    """

    matrix: np.ndarray

    def __post_init__(self):
        matrix = np.array(self.matrix, "float64")
        check_affine(matrix)
        object.__setattr__(self, "matrix", matrix)

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return len(self.matrix) - 1

    def map(self, points_mm) -> np.ndarray:
        """Points `[..., ndim]` of the fixed space in the moving space, float64."""
        return apply_affine(self.matrix, points_mm)

    def inverse(self):
        """The transform from moving to fixed space."""
        return AffineTransform(np.linalg.inv(self.matrix))


@dataclasses.dataclass(frozen=True, eq=False)
class DisplacementField:
    """p -> p + d(p), d interpolated linearly between the voxels of a grid.

    Args:
        grid: of the field, in fixed space.
        displacement_mm: `[*grid.shape, ndim]`, along the world's axes (RAS+).
        outside: beyond the grid, d is its "nearest" edge value, or "zero", as ITK has it.

    Raises:
        InputError: a field of another shape than its grid, or with values that are not finite.
    """

    grid: Grid
    displacement_mm: np.ndarray
    outside: str = "nearest"

    def __post_init__(self):
        field = native(self.displacement_mm)
        if field.shape != (*self.grid.shape, self.grid.ndim):
            raise InputError(
                f"A displacement on a grid of shape {self.grid.shape} has shape {(*self.grid.shape, self.grid.ndim)}; "
                f"got {field.shape}."
            )
        if not np.all(np.isfinite(field)):
            raise InputError("A displacement field holds NaN or infinite values.")
        if self.outside not in OUTSIDE:
            raise ValueError(f"outside is one of {', '.join(map(repr, OUTSIDE))}; got {self.outside!r}.")
        object.__setattr__(self, "displacement_mm", field)

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return self.grid.ndim

    def map(self, points_mm) -> np.ndarray:
        """Points `[..., ndim]` of the fixed space in the moving space, float64."""
        points_mm = np.asarray(points_mm, "float64")
        fill_value = None if self.outside == "nearest" else 0.0
        return points_mm + interpolate(self.displacement_mm, self.grid.to_indices(points_mm), fill_value=fill_value)


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """p -> last(... second(first(p))).

    For images the order is the other way round: the last transform's space is the moving image's.

    Args:
        transforms: one or more, first the one that takes points of the fixed space.

    Raises:
        InputError: none, or transforms of different numbers of axes.
    """

    transforms: tuple

    def __post_init__(self):
        transforms = tuple(self.transforms)
        if not transforms or len({t.ndim for t in transforms}) > 1:
            raise InputError(
                f"A chain holds transforms with one number of axes; got {[t.ndim for t in transforms] or 'none'}."
            )
        object.__setattr__(self, "transforms", transforms)

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return self.transforms[0].ndim

    def map(self, points_mm) -> np.ndarray:
        """Points `[..., ndim]` of the fixed space in the moving space, float64."""
        for transform in self.transforms:
            points_mm = transform.map(points_mm)
        return points_mm


def identity(ndim: int = 3) -> AffineTransform:
    """The transform that moves nothing."""
    return AffineTransform(np.eye(ndim + 1))


def flattened(transform) -> tuple:
    """The affine and dense transforms of a chain of chains, in the order in which points go through them."""
    if isinstance(transform, Chain):
        return tuple(part for inner in transform.transforms for part in flattened(inner))
    return (transform,)


def is_affine(transform) -> bool:
    """Whether a transform is a matrix, or a chain of them."""
    return all(isinstance(part, AffineTransform) for part in flattened(transform))


def dense(transform, grid: Grid) -> DisplacementField:
    """One field on a grid that does at its voxels what a transform does, float32.

    Args:
        transform: any.
        grid: in fixed space.
    """
    if isinstance(transform, DisplacementField) and transform.grid.is_same(grid):
        return transform
    field = np.empty((*grid.shape, grid.ndim), "float32")
    for start, stop in slabs(grid.shape):
        points = grid.slab_points(start, stop)
        field[start:stop] = transform.map(points) - points
    return DisplacementField(grid, field)


def voxel_displacement(field: DisplacementField) -> np.ndarray:
    """A field in millimetres as one in voxels of its own grid, `[*grid.shape, ndim]`, float32."""
    inverse = np.linalg.inv(field.grid.affine[:-1, :-1]).astype("float32")
    return field.displacement_mm.astype("float32") @ inverse.T


def slabs(shape, voxels: int = 2**20):
    """Start and stop along the first axis of pieces of some `voxels`, which keep temporary arrays small."""
    thickness = max(1, voxels // max(1, int(np.prod(shape[1:]))))
    return [(start, min(start + thickness, shape[0])) for start in range(0, shape[0], thickness)]
