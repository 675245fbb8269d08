"""The search over starting positions that an affine registration begins with."""

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from vxm_tf.registration.affine.scan import Lattice, Scan, channel_pairs, homogeneous

BINS = 16
ROTATIONS_DEGREES = (-20.0, 0.0, 20.0)
# Pattern search: steps of each round, of rotations in degrees and of shifts relative to the fixed lattice's size.
ROUNDS = ((10.0, 0.06), (5.0, 0.03), (2.5, 0.015))
# Number of candidates that enter each round.
CLIMBERS = (12, 6, 4)
# Logarithm of the ratio of the radii above which starts that scale by this ratio are tried too.
UNLIKE_RADII = 0.15


class Similarity:
    """Mutual information of two lattices, times the fraction of the fixed one that overlaps the moving one.

    Several channels count by their mean.

    Args:
        moving: lattice of the moving scan.
        fixed: lattice of the fixed scan.
    """

    def __init__(self, moving: Lattice, fixed: Lattice) -> None:
        self.moving, self.points, self.channels = moving, fixed.points(), channel_pairs(moving, fixed)
        mask = np.ones(fixed.shape, bool) if fixed.mask is None else fixed.mask
        self.fixed_size_mm = float(fixed.spacing_mm * np.mean(fixed.shape))
        self.bins = np.minimum(fixed.values[:, mask] * BINS, BINS - 1).astype("int64")

    def inside(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points that a transform takes into the moving lattice, and into its mask.

        Args:
            matrix: `[ndim + 1, ndim + 1]`, from the fixed to the moving frame.

        Returns:
            (indices in the moving lattice `[ndim, points inside]`, bool `[points]`)
        """
        indices = matrix[:-1, :-1] @ self.points + matrix[:-1, -1:] - self.moving.origin_mm[:, None]
        indices /= self.moving.spacing_mm
        limits = np.array(self.moving.shape)[:, None] - 1
        inside = np.all((indices >= 0) & (indices <= limits), axis=0)
        if self.moving.mask is not None:
            inside[inside] = self.moving.mask[tuple(np.rint(indices[:, inside]).astype(int))]
        return indices[:, inside], inside

    def overlap(self, matrix: np.ndarray) -> float:
        """Fraction of the fixed points that a transform takes into the moving lattice."""
        return float(self.inside(matrix)[1].mean())

    def __call__(self, matrix: np.ndarray) -> float:
        """The similarity under a transform, in nats, minus its expectation for independent images; higher is better."""
        return float(np.mean(self.of_channels(matrix)))

    def most_alike(self, matrix: np.ndarray) -> tuple[int, int]:
        """The pair of channels, (moving, fixed), that is most similar under a transform."""
        return self.channels[int(np.argmax(self.of_channels(matrix)))]

    def of_channels(self, matrix: np.ndarray) -> list[float]:
        """The similarity of each pair of channels."""
        indices, inside = self.inside(matrix)
        if indices.shape[1] < 4 * BINS:
            return [0.0] * len(self.channels)
        return [
            inside.mean()
            * _mutual_information(
                ndimage.map_coordinates(self.moving.values[first], indices, order=1), self.bins[second][inside]
            )
            for first, second in self.channels
        ]


def _mutual_information(values: np.ndarray, bins: np.ndarray) -> float:
    """Mutual information of values from 0 to 1 and bin numbers, in nats, minus its expectation if independent."""
    position = values.astype("float64") * (BINS - 1)
    lower = np.minimum(position.astype("int64"), BINS - 2)
    weight = position - lower
    cell = bins * BINS + lower
    joint = np.bincount(cell, 1 - weight, BINS**2) + np.bincount(cell + 1, weight, BINS**2)
    shares = joint.reshape(BINS, BINS) / len(values)
    independent = np.outer(shares.sum(axis=1), shares.sum(axis=0))
    used = shares > 0
    information = np.sum(shares[used] * np.log(shares[used] / independent[used]))
    cells = (np.count_nonzero(shares.sum(axis=1)) - 1) * (np.count_nonzero(shares.sum(axis=0)) - 1)
    return float(information - cells / (2 * len(values)))


def starts(
    moving: Scan, fixed: Scan, moving_lattice: Lattice, fixed_lattice: Lattice, scaled: bool
) -> list[np.ndarray]:
    """Starting transforms from the fixed to the moving frame, before any rotation of the search.

    The first is the position in the headers. The others make the centres of the fields of view, or the centres of mass,
    coincide, once with the axes' directions in the headers and once with the axes as they are stored. If `scaled`, and
    if the objects' radii differ clearly, the centres of mass also coincide with a scale that makes the radii equal.
    """
    header = np.round(np.linalg.inv(moving.frame_to_world) @ fixed.frame_to_world, 4)
    pivot, target = fixed_lattice.centre_of_mass_mm(), moving_lattice.centre_of_mass_mm()
    transforms = [header]
    for linear in (header[:-1, :-1], np.eye(len(pivot))):
        transforms += [homogeneous(linear, np.zeros(len(pivot))), homogeneous(linear, target - linear @ pivot)]
    ratio = moving_lattice.radius_mm() / fixed_lattice.radius_mm()
    if scaled and abs(np.log(ratio)) > UNLIKE_RADII:
        for linear in (ratio * header[:-1, :-1], ratio * np.eye(len(pivot))):
            transforms.append(homogeneous(linear, target - linear @ pivot))
    return transforms


def turned(matrix: np.ndarray, rotation: np.ndarray, pivot: np.ndarray, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """A transform, followed by a rotation about the point to which it maps the pivot, and by a translation."""
    target = matrix[:-1, :-1] @ pivot + matrix[:-1, -1]
    linear = rotation @ matrix[:-1, :-1]
    return homogeneous(linear, target + shift - linear @ pivot)


def coarse_search(
    similarity: Similarity, starts: Sequence[np.ndarray], pivot: np.ndarray, keep: int = 3
) -> list[np.ndarray]:
    """The transforms from which an ascent should start, best first.

    Every start is combined with every rotation of a coarse set; the best are improved by steps in rotation and shift.

    Args:
        similarity: similarity of two coarse lattices.
        starts: transforms `[ndim + 1, ndim + 1]`, from the fixed to the moving frame.
        pivot: `[ndim]`, centre of rotations in the fixed frame.
        keep: number of transforms to return.
    """
    angles = 3 if len(pivot) == 3 else 1
    rotations = [rotation_about(vector) for vector in itertools.product(ROTATIONS_DEGREES, repeat=angles)]
    candidates = [turned(start, rotation, pivot) for start in starts for rotation in rotations]
    for (degrees, part), climbers in zip(ROUNDS, CLIMBERS):
        shift_mm = part * similarity.fixed_size_mm
        best = _best(similarity, candidates, climbers)
        candidates = [_climb(similarity, matrix, pivot, degrees, shift_mm) for matrix in best]
    return _best(similarity, candidates, keep)


def _best(similarity: Similarity, candidates: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """The candidates with the highest similarity, no two of them alike."""
    scores = np.array([similarity(matrix) for matrix in candidates])
    chosen: list[np.ndarray] = []
    for index in np.argsort(-scores, kind="stable"):
        if all(np.abs(candidates[index] - other).max() > 1e-3 for other in chosen):
            chosen.append(candidates[index])
        if len(chosen) == count:
            break
    return chosen


def _climb(
    similarity: Similarity, matrix: np.ndarray, pivot: np.ndarray, degrees: float, shift_mm: float, rounds: int = 4
) -> np.ndarray:
    """The transform after steps in one rotation or shift at a time, for as long as the similarity rises."""
    ndim = len(pivot)
    angles = 3 if ndim == 3 else 1
    steps = [(rotation_about(sign * degrees * axis), np.zeros(ndim)) for axis in np.eye(angles) for sign in (1, -1)]
    steps += [(np.eye(ndim), sign * shift_mm * axis) for axis in np.eye(ndim) for sign in (1, -1)]
    best = similarity(matrix)
    for _ in range(rounds):
        before = best
        for rotation, shift in steps:
            step = turned(matrix, rotation, pivot, shift)
            score = similarity(step)
            if score > best:
                best, matrix = score, step
        if best == before:
            break
    return matrix


def rotation_about(vector_degrees: Sequence[float] | np.ndarray) -> np.ndarray:
    """Rotation matrix of a rotation vector, `[3]`, or of an angle `[1]` in the plane, in degrees."""
    vector = np.deg2rad(np.atleast_1d(vector_degrees).astype("float64"))
    angle = np.linalg.norm(vector)
    if len(vector) == 1:
        return np.array([[np.cos(vector[0]), -np.sin(vector[0])], [np.sin(vector[0]), np.cos(vector[0])]])
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
