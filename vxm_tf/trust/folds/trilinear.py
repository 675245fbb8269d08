"""Proof that a displacement folds nowhere if it is interpolated trilinearly, or a place where it does."""

import dataclasses
import itertools
import math

import numpy as np

from vxm_tf.trust.folds.bernstein import HALVES, coefficients, halved, rounding_errors

PROVEN, UNDECIDED, FAILING = 0, 1, 2
# Arrays of a slab of cubes take some 10 MiB; those of a chunk of boxes stay in the processor's cache.
SLAB_CUBES, CHUNK = 2**18, 2**12
# Each halving brings the bounds about four times as close to the determinants.
HALVINGS = 6
# The bound on all determinants comes as close to the smallest one found as this fraction of it.
TOLERANCE = 1e-3
CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))


@dataclasses.dataclass(frozen=True)
class Trilinear:
    """Summary of the Jacobian determinant of x + u(x) over the image, u interpolated linearly along each axis.

    The interpolated map is smooth within each cube between 8 neighbouring voxels (in 2-D each square between 4).

    Attributes:
        failing_cubes: number of cubes in which a point with a determinant of 0 or less was found.
        undecided_cubes: number of cubes in which no such point was found, but positive determinants were not proven
            either, because the smallest one is too close to 0.
        smallest: smallest determinant found, at `place`.
        bound: number that no determinant in the image is below, proven; it is above 0 if no cube fails.
        place: voxel coordinates of the point whose determinant is `smallest`.
    """

    failing_cubes: int
    undecided_cubes: int
    smallest: float
    bound: float
    place: tuple[float, ...]

    @property
    def unproven_cubes(self) -> int:
        """Number of cubes in which positive determinants are not proven."""
        return self.failing_cubes + self.undecided_cubes


def trilinear(displacement: np.ndarray) -> Trilinear:
    """Bound the Jacobian determinant of x + u(x) everywhere between the voxels, u interpolated trilinearly.

    Within a cube between 8 neighbouring voxels the determinant is a polynomial of degree 2 along each axis; it is at
    least the smallest of its 27 Bernstein coefficients. A cube for which this is not enough is halved along each axis,
    again and again, until every part is proven to have positive determinants, or a point with a determinant of 0 or
    less is found.

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels, `ij` order; finite.
    """
    search = _Search(displacement, 0.0)
    failing, undecided = (int(np.count_nonzero(search.verdicts == kind)) for kind in (FAILING, UNDECIDED))
    place = tuple(search.place[: np.ndim(displacement) - 1].tolist())
    return Trilinear(failing, undecided, search.smallest, search.bound, place)


def unproven_cubes(displacement: np.ndarray, determinant: float = 0.0) -> np.ndarray:
    """Where trilinear interpolation is not proven to keep the determinant above a number, see `trilinear`.

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels.
        determinant: the number, 0 or more.

    Returns:
        Bool `[*(spatial - 1)]`: whether the cube ahead of each voxel fails or is undecided.
    """
    verdicts = _Search(displacement, determinant).verdicts
    return verdicts.reshape(verdicts.shape[: np.ndim(displacement) - 1]) != PROVEN


class _Search:
    """Branch and bound over all cubes of a displacement.

    Attributes:
        verdicts: `PROVEN`, `UNDECIDED` or `FAILING` for each cube; in 1-D and 2-D missing axes have one cube.
        smallest: smallest determinant found, at voxel coordinates `place`.
        bound: number that no determinant is below.
    """

    def __init__(self, displacement: np.ndarray, threshold: float):
        field = _in_3d(np.asarray(displacement))
        self.threshold = threshold
        self.verdicts = np.zeros([size - 1 for size in field.shape[:3]], np.uint8)
        self.smallest, self.bound, self.place = np.inf, np.inf, np.zeros(3)
        thickness = max(1, SLAB_CUBES // math.prod(self.verdicts.shape[1:]))
        for start in range(0, self.verdicts.shape[0], thickness):
            self._slab(np.moveaxis(field[start : start + thickness + 1], -1, 0), start)

    @property
    def _goal(self) -> float:
        """Bound at which a box needs no closer look."""
        return max(self.threshold, self.smallest - self._gap)

    @property
    def _gap(self) -> float:
        return TOLERANCE * abs(self.smallest) + 1e-6

    def _slab(self, components: np.ndarray, start: int) -> None:
        """Decide about the cubes between the voxels of a slab `[3, *slab]` that begins at a slice of the image."""
        bounds = quick_bounds(components)
        flat = bounds.ravel()
        # The smallest determinant is often where the bound is lowest; knowing it spares many a closer look.
        self._cubes(components, np.atleast_1d(np.argmin(bounds)), bounds.shape, start)
        goal = self._goal
        self.bound = min(self.bound, float(flat.min(where=flat > goal, initial=np.inf)))
        cubes = np.flatnonzero(~(flat > goal))
        for first in range(0, len(cubes), CHUNK):
            part = cubes[first : first + CHUNK]
            enough = flat[part] > self._goal
            self.bound = min(self.bound, float(flat[part].min(where=enough, initial=np.inf)))
            self._cubes(components, part[~enough], bounds.shape, start)

    def _cubes(self, components: np.ndarray, cubes: np.ndarray, shape: tuple[int, ...], start: int) -> None:
        """Decide about some cubes of a slab, given as places in its flattened array of cubes of this shape."""
        index = np.stack(np.unravel_index(cubes, shape))
        corners = components[(slice(None), *(index[:, None] + CORNERS.T[..., None]))]
        corners = np.moveaxis(corners, 1, 0).astype("float64").reshape(2, 2, 2, 3, -1)
        index[0] += start
        self._boxes(coefficients(corners), rounding_errors(corners), index, index.astype("float64"), 0)

    def _boxes(
        self, values: np.ndarray, rounding: np.ndarray, cubes: np.ndarray, origins: np.ndarray, depth: int
    ) -> None:
        """Decide about boxes, each a cube or a part of one.

        Args:
            values: Bernstein coefficients `[3, 3, 3, boxes]`.
            rounding: rounding error of the coefficients of each box.
            cubes: index of the cube of each box, `[3, boxes]`.
            origins: lowest corner of each box, `[3, boxes]`, in voxels.
            depth: number of times that the cubes were halved.
        """
        if not rounding.size:
            return
        lowest = values.min(axis=(0, 1, 2)) - rounding
        ends = values[::2, ::2, ::2].reshape(8, -1)
        attained = ends.min(axis=0)
        self._note(ends, origins, depth)
        self._mark(cubes[:, attained - rounding <= self.threshold], UNDECIDED)
        self._mark(cubes[:, attained <= self.threshold], FAILING)
        unclear = (lowest <= self.threshold) & (self.verdicts[tuple(cubes)] == PROVEN)
        further = unclear | (lowest < self.smallest - self._gap)
        if depth == HALVINGS:
            self._mark(cubes[:, unclear], UNDECIDED)
            further[:] = False
        self.bound = min(self.bound, float(lowest.min(where=~further, initial=np.inf)))
        places = np.flatnonzero(further)
        for first in range(0, len(places), CHUNK // 8):
            part = places[first : first + CHUNK // 8]
            size = 0.5**depth
            children = (origins[:, None, part] + size * HALVES[..., None]).reshape(3, -1)
            self._boxes(
                halved(values[..., part]), np.tile(rounding[part], 8), np.tile(cubes[:, part], 8), children, depth + 1
            )

    def _note(self, ends: np.ndarray, origins: np.ndarray, depth: int) -> None:
        """Keep the smallest of the determinants `[8, boxes]` at the corners of boxes if it is a new smallest one."""
        corner, box = np.unravel_index(np.argmin(ends), ends.shape)
        if ends[corner, box] < self.smallest:
            self.smallest = float(ends[corner, box])
            self.place = origins[:, box] + 0.5**depth * CORNERS[corner]

    def _mark(self, cubes: np.ndarray, verdict: int) -> None:
        index = tuple(cubes)
        self.verdicts[index] = np.maximum(self.verdicts[index], verdict)


def quick_bounds(components: np.ndarray) -> np.ndarray:
    """A lower bound of the determinant in each cube, cheap and close where the displacement is nearly affine.

    With M the mean derivative of the map and E = M^-1 J - I, det J = det M det(I + E), and det(I + E) is 1, plus the
    trace of E, plus its principal minors. A minor is at most the product of the 1-norms of its columns. If all norms
    are at most g < 1, so are the eigenvalues of E, and det(I + E) >= (1 - g)^3. Columns of J are means of edges of the
    cube, so each norm is at most that of the largest edge along its axis.

    Args:
        components: displacement `[3, *slab]`, in voxels.

    Returns:
        float32 `[*slab - 1]`, without unit; no bound where it is 0 or less.
    """
    inverse, volume = _mean_derivative(components)
    straight = (inverse.astype("float32") @ components.reshape(3, -1).astype("float32")).reshape(components.shape)
    # More than the rounding error in float32.
    slack = np.float32(4e-6 * (1.0 + float(np.abs(straight).max())))
    trace, lengths = np.full([size - 1 for size in straight.shape[1:]], np.float32(1.0) - slack), []
    for axis in range(3):
        edge = np.diff(straight, axis=axis + 1)
        edge += (inverse - np.eye(3)).astype("float32")[:, axis, None, None, None]
        trace += _over_cubes(np.minimum, edge[axis], axis)
        lengths.append(_over_cubes(np.maximum, np.abs(edge, out=edge).sum(axis=0), axis) + slack)
    first, second, third = lengths
    minors = first * second
    minors *= 1.0 + third
    minors += (first + second) * third
    least = np.float32(1.0) - np.maximum(np.maximum(first, second), third)
    return np.float32(volume * (1.0 - 1e-6)) * np.maximum(trace - minors, least * least * least)


def _over_cubes(extreme: np.ufunc, edges: np.ndarray, axis: int) -> np.ndarray:
    """Extreme of the values of the 4 edges of each cube that are parallel to an axis."""
    for other in {0, 1, 2} - {axis}:
        ahead = np.moveaxis(edges, other, 0)
        edges = np.moveaxis(extreme(ahead[1:], ahead[:-1]), 0, other)
    return edges


def _mean_derivative(components: np.ndarray) -> tuple[np.ndarray, float]:
    """(inverse, determinant) of the mean derivative of x + u(x); the identity's if they are no use."""
    mean = np.eye(3)
    for axis in range(3):
        along = np.moveaxis(components, axis + 1, 0)
        first, last = (face.mean(axis=(1, 2), dtype="float64") for face in (along[0], along[-1]))
        mean[:, axis] += (last - first) / (components.shape[axis + 1] - 1)
    volume = float(np.linalg.det(mean))
    usable = volume > 1e-3 and np.linalg.cond(mean) < 1e3
    return (np.linalg.inv(mean), volume) if usable else (np.eye(3), 1.0)


def _in_3d(displacement: np.ndarray) -> np.ndarray:
    """The displacement with 3 axes; along an axis that it lacks it has 2 voxels, between which nothing changes."""
    missing = 4 - displacement.ndim
    field = np.pad(displacement, [(0, 0)] * (displacement.ndim - 1) + [(0, missing)])
    field = field.reshape(*displacement.shape[:-1], *[1] * missing, 3)
    return np.broadcast_to(field, (*displacement.shape[:-1], *[2] * missing, 3))
