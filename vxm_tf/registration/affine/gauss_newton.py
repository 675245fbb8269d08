"""Gauss-Newton ascent of the local correlation over the parameters of an affine transform."""

import itertools

import numpy as np
from scipy import linalg

from vxm_tf.registration.affine.local_correlation import LocalCorrelation
from vxm_tf.registration.affine.scan import homogeneous

# An ascent ends with steps that move points by less than this, in voxels of the lattice.
SMALLEST_STEP = 0.05
# Levenberg's damping, relative to the curvature along each parameter: at first, smallest, largest.
DAMPING = (1e-3, 1e-4, 10.0)


def climb(measure: LocalCorrelation, matrix: np.ndarray, kind: str, pivot: np.ndarray, steps: int) -> np.ndarray:
    """The transform after at most `steps` steps that raise the local correlation in both directions.

    Args:
        measure: local correlation of two lattices.
        matrix: transform to start from, `[ndim + 1, ndim + 1]`, from the fixed to the moving frame, of the same kind.
        kind: parameters to change, "rigid", "similarity", "scales" or "affine".
        pivot: `[ndim]`, centre of rotations and scales in the fixed frame.
        steps: largest number of steps.
    """
    points = measure.fixed.points()
    radius_mm = float(np.sqrt(np.mean(np.sum((points - pivot[:, None]) ** 2, axis=0))))
    damping, smallest, largest = DAMPING
    terms = measure.terms(matrix)
    for _ in range(steps):
        left, right = _generators(kind, matrix, pivot)
        inverse = np.linalg.inv(matrix)
        changes = [generator @ matrix for generator in left] + [matrix @ generator for generator in right]
        there = np.stack([change[:-1].ravel() for change in changes], axis=1)
        back = np.stack([-(inverse @ change @ inverse)[:-1].ravel() for change in changes], axis=1)
        gradient = there.T @ terms[0].gradient + back.T @ terms[1].gradient
        curvature = there.T @ terms[0].curvature @ there + back.T @ terms[1].curvature @ back
        scale = np.sqrt(np.diag(curvature)) + 1e-12
        system = curvature / np.outer(scale, scale) + damping * np.eye(len(scale))
        step = np.linalg.solve(system, gradient / scale) / scale
        new = _moved(matrix, step, left, right)
        small = _length_mm(new - matrix, pivot, radius_mm) < SMALLEST_STEP * measure.fixed.spacing_mm
        new_terms = measure.terms(new)
        if sum(term.score for term in new_terms) > sum(term.score for term in terms):
            matrix, terms, damping = new, new_terms, max(damping / 5, smallest)
        else:
            damping *= 10
        if small or damping > largest:
            break
    return matrix


def _length_mm(change: np.ndarray, pivot: np.ndarray, radius_mm: float) -> float:
    """About how far a change `[ndim + 1, ndim + 1]` of a transform moves points at a radius from the pivot."""
    shift = change[:-1, :-1] @ pivot + change[:-1, -1]
    return float(np.linalg.norm(change[:-1, :-1]) * radius_mm + np.linalg.norm(shift))


def _generators(kind: str, matrix: np.ndarray, pivot: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Directions in which a transform of a kind may change: (applied after it, applied before it).

    Rotations and shifts act after the transform, about the point to which it maps the pivot; scales along the axes of
    the fixed frame act before it.
    """
    ndim = len(pivot)
    target = matrix[:-1, :-1] @ pivot + matrix[:-1, -1]
    units = np.eye(ndim)
    left = [_generator(np.zeros((ndim, ndim)), unit) for unit in units]
    for first, second in itertools.combinations(range(ndim), 2):
        turn = np.outer(units[second], units[first]) - np.outer(units[first], units[second])
        left.append(_generator(turn, -turn @ target))
    stretches = {
        "rigid": [],
        "similarity": [np.eye(ndim)],
        "scales": [np.outer(unit, unit) for unit in units],
        "affine": [
            np.outer(units[first], units[second]) + np.outer(units[second], units[first])
            for first, second in itertools.combinations_with_replacement(range(ndim), 2)
        ],
    }[kind]
    if kind == "scales":
        return left, [_generator(stretch, -stretch @ pivot) for stretch in stretches]
    return left + [_generator(stretch, -stretch @ target) for stretch in stretches], []


def _generator(linear: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """The matrix `[ndim + 1, ndim + 1]` of an infinitesimal affine map."""
    generator = homogeneous(linear, translation)
    generator[-1, -1] = 0
    return generator


def _moved(matrix: np.ndarray, step: np.ndarray, left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
    """A transform after a step along its generators."""
    zero = np.zeros_like(matrix)
    after = sum((part * generator for part, generator in zip(step, left)), zero)
    before = sum((part * generator for part, generator in zip(step[len(left) :], right)), zero)
    return linalg.expm(after) @ matrix @ linalg.expm(before)
