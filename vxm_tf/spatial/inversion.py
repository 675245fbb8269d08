"""The inverse of any transform, point by point, with how well it holds."""

import dataclasses

import numpy as np

from vxm_tf.spatial.grid import Grid, apply_affine
from vxm_tf.spatial.transforms import AffineTransform, Chain, DisplacementField, flattened, is_affine, slabs

FIXED_POINT_STEPS = 8
NEWTON_STEPS = 12
# In millimetres, see `_unit_mm`: a residual that will do, one that will not, and what a derivative is taken over.
TOLERANCE, UNSOLVED, DIFFERENCE = 1e-3, 0.1, 0.05


@dataclasses.dataclass(frozen=True)
class Inversion:
    """An inverse on a grid.

    Attributes:
        transform: `DisplacementField` from moving to fixed space.
        mean_residual_mm: mean over voxels of |transform(inverse(q)) - q|, in millimetres.
        max_residual_mm: the largest.
        unsolved: fraction of voxels, 0 to 1, whose residual is above 0.1 mm, or above a voxel where that is smaller: no
            point was found that maps there, as where the transform folds or the field ends.
    """

    transform: DisplacementField
    mean_residual_mm: float
    max_residual_mm: float
    unsolved: float


def invert(transform, grid: Grid, start=None) -> Inversion:
    """The inverse of a transform, on a grid in its moving space.

    Fixed-point iteration p <- p - L^-1 (T(p) - q) with L the affine part of T (Chen et al., Medical Physics 2008),
    then, where that is slow because the map stretches or shrinks much, Newton's method with a numerical Jacobian.

    Args:
        transform: fixed to moving space.
        grid: where the inverse is wanted.
        start: a first guess, such as exp(-v) for exp(v), a transform from moving to fixed space.
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


def measured(transform, inverse: DisplacementField) -> Inversion:
    """An inverse that is there already, with how well it undoes a transform.

    Args:
        transform: fixed to moving space.
        inverse: moving to fixed space.
    """
    residual = np.empty(inverse.grid.shape, "float32")
    for begin, stop in slabs(inverse.grid.shape):
        targets = inverse.grid.slab_points(begin, stop)
        error = transform.map(targets + inverse.displacement_mm[begin:stop]) - targets
        residual[begin:stop] = np.linalg.norm(error, axis=-1)
    return _inversion(inverse, residual)


def _inversion(field, residual):
    mean = float(residual.mean(dtype="float64"))
    return Inversion(field, mean, float(residual.max()), float(np.mean(residual > unsolved_mm(field))))


def affine_part(transform) -> np.ndarray:
    """The affine that is nearest to a transform: the product of those of a chain's parts, fitted to its fields."""
    matrix = np.eye(transform.ndim + 1)
    for part in flattened(transform):
        matrix = (part.matrix if isinstance(part, AffineTransform) else _fitted(part)) @ matrix
    return matrix


def _fitted(field):
    """Least squares over some ten voxels an axis; a field that hardly moves gives nearly the identity.

    Along an axis of one voxel the field counts as constant. Where a field all but flattens space, what is fitted undoes
    nothing, and its mean shift is taken.
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


def solve(transform, targets_mm, start_mm, inverse_linear):
    """Points p with transform(p) = target.

    Args:
        transform: fixed to moving space.
        targets_mm: `[n, ndim]`.
        start_mm: a guess for each, `[n, ndim]`.
        inverse_linear: `[ndim, ndim]`, undoes the transform's linear part.

    Returns:
        (points `[n, ndim]`, residual `[n]` in millimetres: the best found.)
    """
    points = np.array(start_mm, "float64")
    error = transform.map(points) - targets_mm
    residual = _lengths(error)
    unit_mm = _unit_mm(transform)
    tolerance_mm, difference_mm = TOLERANCE * unit_mm, DIFFERENCE * unit_mm
    state = transform, targets_mm, points, error, residual
    left = np.flatnonzero(residual > tolerance_mm)
    for _ in range(FIXED_POINT_STEPS):
        improved = _take(state, left, error[left] @ inverse_linear.T)
        left = improved[residual[improved] > tolerance_mm]
    left = np.flatnonzero(residual > tolerance_mm)
    for _ in range(NEWTON_STEPS):
        improved = _take(state, left, _newton_step(transform, points[left], error[left], inverse_linear, difference_mm))
        left = improved[residual[improved] > tolerance_mm]
    return points, residual


def unsolved_mm(transform) -> float:
    """Residual, in millimetres, beyond which a point counts as one where nothing maps to."""
    return UNSOLVED * _unit_mm(transform)


def _unit_mm(transform):
    """1 mm, or less where a field has voxels below a tenth of it."""
    sizes = [min(part.grid.spacing_mm) for part in flattened(transform) if isinstance(part, DisplacementField)]
    return min(1.0, *(10.0 * size for size in sizes)) if sizes else 1.0


def _lengths(vectors):
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))


def _newton_step(transform, points, error, inverse_linear, difference_mm):
    ndim = points.shape[1]
    shifts = difference_mm * np.eye(ndim)
    columns = [(transform.map(points + s) - transform.map(points - s)) / (2 * difference_mm) for s in shifts]
    jacobian = np.stack(columns, axis=-1)
    sound = np.abs(np.linalg.det(jacobian)) > 1e-3
    jacobian[~sound] = np.linalg.inv(inverse_linear)
    return np.linalg.solve(jacobian, error[..., None])[..., 0]


def _take(state, left, update):
    """Go the longest part of each step that brings its point nearer; return the points that were moved."""
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


def solve_points(transform, targets_mm):
    """Where some points of the moving space come from.

    Args:
        transform: fixed to moving space.
        targets_mm: `[n, ndim]`, world millimetres.

    Returns:
        (points of the fixed space `[n, ndim]`, residual `[n]` in millimetres).
    """
    linear = np.linalg.inv(affine_part(transform))
    targets_mm = np.asarray(targets_mm, "float64")
    return solve(transform, targets_mm, apply_affine(linear, targets_mm), linear[:-1, :-1])


def inverse(transform, grid: Grid):
    """(transform, `Inversion` or None): exact for affine transforms and chains of them, else on the grid."""
    if is_affine(transform):
        return Chain(tuple(part.inverse() for part in reversed(flattened(transform)))), None
    inversion = invert(transform, grid)
    return inversion.transform, inversion
