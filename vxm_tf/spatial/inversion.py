"""Numerical inversion of any transform, with the error that remains."""

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vxm_tf.spatial.grid import Grid, apply_affine
from vxm_tf.spatial.transforms import AffineTransform, Chain, DisplacementField, Transform, flattened, slabs

FIXED_POINT_STEPS = 8
NEWTON_STEPS = 12
# Residual at which a point counts as solved, residual above which it counts as unsolved, and step of numerical
# derivatives; in millimetres, or in the smaller unit of `_unit_mm`.
TOLERANCE, UNSOLVED, DIFFERENCE = 1e-3, 0.1, 0.05


class _State(NamedTuple):
    """State of the iteration from points towards their targets; the arrays are updated in place."""

    transform: Transform
    targets_mm: np.ndarray
    points_mm: np.ndarray
    error_mm: np.ndarray
    residual_mm: np.ndarray


@dataclasses.dataclass(frozen=True)
class Inversion:
    """The inverse of a transform on a grid, and its error.

    Attributes:
        transform: `DisplacementField` from moving to fixed space.
        mean_residual_mm: mean over voxels of |transform(inverse(q)) - q|, in millimetres.
        max_residual_mm: largest residual of a voxel, in millimetres.
        unsolved: fraction of voxels, 0 to 1, whose residual is above 0.1 mm, or above a voxel where that is smaller.
            They have no point that is known to map to them, for example where the transform folds or its field ends.
    """

    transform: DisplacementField
    mean_residual_mm: float
    max_residual_mm: float
    unsolved: float


def invert(transform: Transform, grid: Grid, start: Transform | None = None) -> Inversion:
    """The inverse of a transform, on a grid in its moving space.

    Fixed-point iteration p <- p - L^-1 (T(p) - q) with L the affine part of T (Chen et al., Medical Physics 2008),
    then, for points at which the map stretches or shrinks too much for it, Newton's method with a numerical Jacobian.

    Args:
        transform: transform T from fixed to moving space.
        grid: grid, in moving space, of the inverse.
        start: first guess of the inverse, such as exp(-v) for exp(v); None starts from the inverse of L.
    """
    linear = np.linalg.inv(affine_part(transform))
    field = np.empty((*grid.shape, grid.ndim), "float32")
    residual = np.empty(grid.shape, "float32")
    for begin, stop in slabs(grid.shape):
        targets = grid.slab_points(begin, stop)
        flat = targets.reshape(-1, grid.ndim)
        guess = start.map(flat) if start is not None else apply_affine(linear, flat)
        points, errors = solve(transform, flat, guess, linear[:-1, :-1])
        field[begin:stop] = points.reshape(targets.shape) - targets
        residual[begin:stop] = errors.reshape(targets.shape[:-1])
    return _inversion(DisplacementField(grid, field), residual)


def measured(transform: Transform, inverse: DisplacementField) -> Inversion:
    """The `Inversion` of a given inverse, with its measured error.

    Args:
        transform: transform from fixed to moving space.
        inverse: its approximate inverse, from moving to fixed space.
    """
    residual = np.empty(inverse.grid.shape, "float32")
    for begin, stop in slabs(inverse.grid.shape):
        targets = inverse.grid.slab_points(begin, stop)
        error = transform.map(targets + inverse.displacement_mm[begin:stop]) - targets
        residual[begin:stop] = np.linalg.norm(error, axis=-1)
    return _inversion(inverse, residual)


def _inversion(field: DisplacementField, residual: np.ndarray) -> Inversion:
    mean = float(residual.mean(dtype="float64"))
    return Inversion(field, mean, float(residual.max()), float(np.mean(residual > unsolved_mm(field))))


def affine_part(transform: Transform) -> np.ndarray:
    """An affine approximation, `[ndim + 1, ndim + 1]`: the product over a chain's parts, with fields fitted."""
    matrix = np.eye(transform.ndim + 1)
    for part in flattened(transform):
        matrix = (part.matrix if isinstance(part, AffineTransform) else _fitted(part)) @ matrix
    return matrix


def _fitted(field: DisplacementField) -> np.ndarray:
    """The matrix `[ndim + 1, ndim + 1]` of the least-squares fit to a field at ten voxels along each axis.

    Along an axis of one voxel the field counts as constant. The fit to a field that nearly flattens space could not be
    inverted, so it is replaced by the field's mean shift.
    """
    picks = [np.unique(np.linspace(0, size - 1, 10).astype(int)) for size in field.grid.shape]
    indices = np.stack(np.meshgrid(*picks, indexing="ij"), -1).reshape(-1, field.ndim)
    displacement = field.displacement_mm[tuple(indices.T)].astype("float64")
    middle, shift = indices.mean(axis=0), displacement.mean(axis=0)
    slope, *_ = np.linalg.lstsq(indices - middle, displacement - shift, rcond=None)
    linear = np.eye(field.ndim) + slope.T @ np.linalg.inv(field.grid.affine[:-1, :-1])
    if np.linalg.svd(linear, compute_uv=False).min() < 0.05:
        linear = np.eye(field.ndim)
    centre = field.grid.to_world(middle)
    matrix = np.eye(field.ndim + 1)
    matrix[:-1, :-1], matrix[:-1, -1] = linear, centre + shift - linear @ centre
    return matrix


def solve(
    transform: Transform, targets_mm: np.ndarray, start_mm: np.ndarray, inverse_linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The points p with transform(p) = target, for many targets.

    Args:
        transform: transform from fixed to moving space.
        targets_mm: `[n, ndim]`, in millimetres of the moving space.
        start_mm: a first guess for each point, `[n, ndim]`, in millimetres of the fixed space.
        inverse_linear: `[ndim, ndim]`, inverse of the transform's linear part.

    Returns:
        (points `[n, ndim]` with the smallest residuals that were reached, residuals `[n]`), in millimetres.
    """
    points = np.array(start_mm, "float64")
    error = transform.map(points) - targets_mm
    residual = _lengths(error)
    unit_mm = _unit_mm(transform)
    tolerance_mm, difference_mm = TOLERANCE * unit_mm, DIFFERENCE * unit_mm
    state = _State(transform, targets_mm, points, error, residual)
    left = np.flatnonzero(residual > tolerance_mm)
    for _ in range(FIXED_POINT_STEPS):
        improved = _take(state, left, error[left] @ inverse_linear.T)
        left = improved[residual[improved] > tolerance_mm]
    left = np.flatnonzero(residual > tolerance_mm)
    for _ in range(NEWTON_STEPS):
        improved = _take(state, left, _newton_step(transform, points[left], error[left], inverse_linear, difference_mm))
        left = improved[residual[improved] > tolerance_mm]
    return points, residual


def unsolved_mm(transform: Transform) -> float:
    """Residual, in millimetres, above which no point counts as mapped to a target."""
    return UNSOLVED * _unit_mm(transform)


def _unit_mm(transform: Transform) -> float:
    """The unit of tolerances in millimetres: 1, or ten voxels of a field where that is less."""
    sizes = [min(part.grid.spacing_mm) for part in flattened(transform) if isinstance(part, DisplacementField)]
    return min(1.0, *(10.0 * size for size in sizes)) if sizes else 1.0


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))


def _newton_step(
    transform: Transform, points: np.ndarray, error: np.ndarray, inverse_linear: np.ndarray, difference_mm: float
) -> np.ndarray:
    ndim = points.shape[1]
    shifts = difference_mm * np.eye(ndim)
    columns = [(transform.map(points + s) - transform.map(points - s)) / (2 * difference_mm) for s in shifts]
    jacobian = np.stack(columns, axis=-1)
    sound = np.abs(np.linalg.det(jacobian)) > 1e-3
    jacobian[~sound] = np.linalg.inv(inverse_linear)
    return np.linalg.solve(jacobian, error[..., None])[..., 0]


def _take(state: _State, left: np.ndarray, update: np.ndarray) -> np.ndarray:
    """Move each point by the longest fraction of its step that reduces its residual; return indices of moved points."""
    transform, targets, points, error, residual = state
    moved = []
    for fraction in (1.0, 0.5, 0.2):
        if not len(left):
            break
        trial = points[left] - fraction * update
        trial_error = transform.map(trial) - targets[left]
        trial_residual = _lengths(trial_error)
        better = trial_residual < residual[left]
        taken = left[better]
        points[taken], error[taken], residual[taken] = trial[better], trial_error[better], trial_residual[better]
        moved.append(taken)
        left, update = left[~better], update[~better]
    return np.concatenate(moved) if moved else left


def solve_points(transform: Transform, targets_mm: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The points of the fixed space that a transform maps to given points of the moving space.

    Args:
        transform: transform from fixed to moving space.
        targets_mm: `[n, ndim]`, in millimetres of the moving space.

    Returns:
        (points of the fixed space `[n, ndim]`, residuals `[n]`), in millimetres.
    """
    linear = np.linalg.inv(affine_part(transform))
    targets = np.asarray(targets_mm, "float64")
    return solve(transform, targets, apply_affine(linear, targets), linear[:-1, :-1])


def inverse(transform: Transform, grid: Grid) -> tuple[Transform, Inversion | None]:
    """The inverse of a transform: (exact inverse, None) if it is affine, else (field, its `Inversion`) on the grid."""
    parts = flattened(transform)
    matrices = [part for part in parts if isinstance(part, AffineTransform)]
    if len(matrices) == len(parts):
        return Chain(tuple(part.inverse() for part in reversed(matrices))), None
    inversion = invert(transform, grid)
    return inversion.transform, inversion
