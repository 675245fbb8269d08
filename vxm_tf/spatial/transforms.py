"""Transforms of world space: affine, dense, and chains of both.

Every transform maps points of the fixed space to points of the moving space, so that
moved(p) = moving(transform(p)) for a world position p, in millimetres, RAS+.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import Grid, apply_affine, check_affine, same_grid
from vxm_tf.spatial.interpolation import interpolate, native

OUTSIDE = ("nearest", "zero")


class Transform(Protocol):
    """A map of world space from fixed to moving points: `AffineTransform`, `DisplacementField` or `Chain`."""

    @property
    def ndim(self) -> int:
        """Number of world axes."""

    def map(self, points_mm: ArrayLike) -> np.ndarray:
        """Map points `[..., ndim]` of the fixed space to the moving space, in millimetres, float64."""


@dataclasses.dataclass(frozen=True, eq=False)
class AffineTransform:
    """The affine transform p -> A p.

    Args:
        matrix: `[ndim + 1, ndim + 1]`, homogeneous, world millimetres to world millimetres.

    Raises:
        InputError: a matrix that cannot be inverted.
    """

    matrix: np.ndarray

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, "float64")
        check_affine(matrix)
        object.__setattr__(self, "matrix", matrix)

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return len(self.matrix) - 1

    def map(self, points_mm: ArrayLike) -> np.ndarray:
        """Map points `[..., ndim]` of the fixed space to the moving space, in millimetres, float64."""
        return apply_affine(self.matrix, points_mm)

    def inverse(self) -> "AffineTransform":
        """The transform from moving to fixed space."""
        return AffineTransform(np.linalg.inv(self.matrix))


@dataclasses.dataclass(frozen=True, eq=False)
class DisplacementField:
    """The dense transform p -> p + d(p), with d interpolated linearly between the voxels of a grid.

    Args:
        grid: grid of the field, in fixed space.
        displacement_mm: `[*grid.shape, ndim]`, in millimetres along the world's axes (RAS+).
        outside: d beyond the grid: "nearest" repeats its edge, "zero" moves nothing, as in ITK.

    Raises:
        InputError: a field of another shape than its grid, or with values that are not finite.
        ValueError: unknown `outside`.
    """

    grid: Grid
    displacement_mm: np.ndarray
    outside: str = "nearest"

    def __post_init__(self) -> None:
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

    def map(self, points_mm: ArrayLike) -> np.ndarray:
        """Map points `[..., ndim]` of the fixed space to the moving space, in millimetres, float64."""
        points = np.asarray(points_mm, "float64")
        fill_value = None if self.outside == "nearest" else 0.0
        return points + interpolate(self.displacement_mm, self.grid.to_indices(points), fill_value=fill_value)


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """The transform p -> last(... second(first(p))).

    An image goes through the chain in the opposite order: the last transform leads to the moving image's space.

    Args:
        transforms: one or more transforms; the first one maps points of the fixed space.

    Raises:
        InputError: no transform, or transforms with different numbers of axes.
    """

    transforms: tuple[Transform, ...]

    def __post_init__(self) -> None:
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

    def map(self, points_mm: ArrayLike) -> np.ndarray:
        """Map points `[..., ndim]` of the fixed space to the moving space, in millimetres, float64."""
        points = np.asarray(points_mm, "float64")
        for transform in self.transforms:
            points = transform.map(points)
        return points


Part: TypeAlias = AffineTransform | DisplacementField
"""A transform that is not a chain."""


def identity(ndim: int = 3) -> AffineTransform:
    """The affine transform that leaves all points where they are."""
    return AffineTransform(np.eye(ndim + 1))


def flattened(transform: Transform) -> tuple[Part, ...]:
    """The affine and dense transforms of a chain, nested chains included, in the order in which they map points."""
    if isinstance(transform, Chain):
        return tuple(part for inner in transform.transforms for part in flattened(inner))
    # Besides chains, the two kinds of `Part` are the only transforms.
    return (cast(Part, transform),)


def is_affine(transform: Transform) -> bool:
    """Whether a transform is affine or a chain of affine transforms."""
    return all(isinstance(part, AffineTransform) for part in flattened(transform))


def dense(transform: Transform, grid: Grid) -> DisplacementField:
    """A float32 displacement field that equals a transform at the voxels of a grid.

    Args:
        transform: the transform, from fixed to moving space; a field on this grid is returned as it is.
        grid: grid in fixed space.
    """
    if isinstance(transform, DisplacementField) and same_grid(transform.grid, grid):
        return transform
    field = np.empty((*grid.shape, grid.ndim), "float32")
    for start, stop in slabs(grid.shape):
        points = grid.slab_points(start, stop)
        field[start:stop] = transform.map(points) - points
    return DisplacementField(grid, field)


def voxel_displacement(field: DisplacementField) -> np.ndarray:
    """The displacement of a field in voxels of its own grid, `[*grid.shape, ndim]`, float32."""
    inverse = np.linalg.inv(field.grid.affine[:-1, :-1]).astype("float32")
    return field.displacement_mm.astype("float32") @ inverse.T


def slabs(shape: Sequence[int], voxels: int = 2**20) -> list[tuple[int, int]]:
    """(start, stop) along the first axis of slabs with about `voxels` voxels, which keep temporary arrays small."""
    thickness = max(1, voxels // max(1, int(np.prod(shape[1:]))))
    return [(start, min(start + thickness, shape[0])) for start in range(0, shape[0], thickness)]
