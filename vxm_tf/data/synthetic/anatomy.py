"""A stylised head: an exact function from a point to its tissue, so that it can be evaluated anywhere.

Points are in half fields of view, -1 to 1 along x (to the right), y (to the front) and z (upwards).
Every structure is a function of the point that is negative inside the structure and close to the distance
from its surface, so one definition gives both sharp labels and anti-aliased intensities.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

LABEL_NAMES = {
    0: "background",
    1: "csf",
    2: "left cortex",
    3: "right cortex",
    4: "left white matter",
    5: "right white matter",
    6: "left lateral ventricle",
    7: "right lateral ventricle",
    8: "left thalamus",
    9: "right thalamus",
    10: "left caudate",
    11: "right caudate",
    12: "left putamen",
    13: "right putamen",
    14: "left hippocampus",
    15: "right hippocampus",
    16: "left cerebellum",
    17: "right cerebellum",
    18: "brainstem",
}

# Mean intensities, 0 to 1, ranked as in a T1-weighted scan.
INTENSITIES = {
    "csf": 0.15,
    "cortex": 0.45,
    "white matter": 0.75,
    "lateral ventricle": 0.10,
    "thalamus": 0.60,
    "caudate": 0.47,
    "putamen": 0.53,
    "hippocampus": 0.44,
    "cerebellum": 0.52,
    "brainstem": 0.68,
}

# Height z of the section that serves as the two-dimensional head; it cuts the nuclei and both ends of the ventricles.
SECTION = 0.09

# (wave vector [3] in radians per half field of view, phase in radians).
_Wave: TypeAlias = tuple[np.ndarray, np.float32]
_Vector: TypeAlias = Sequence[float] | np.ndarray

_CSF_RIM = 0.035
_CORTEX_THICKNESS = 0.057
_FISSURE_HALF_WIDTH = 0.012
_SULCUS_CENTRE = (0.0, 0.0, -0.3)

# Tubes are polylines (x, y, z, radius) on the right-hand side; the left mirrors them.
_VENTRICLE = (
    (0.13, 0.36, 0.09, 0.045),
    (0.08, 0.16, 0.18, 0.05),
    (0.10, -0.14, 0.20, 0.05),
    (0.22, -0.35, 0.10, 0.05),
    (0.33, -0.12, -0.20, 0.03),
)
_POSTERIOR_HORN = ((0.22, -0.36, 0.10, 0.05), (0.19, -0.54, 0.06, 0.015))
_CAUDATE = ((0.20, 0.30, 0.07, 0.075), (0.18, 0.12, 0.19, 0.05), (0.22, -0.16, 0.24, 0.03))
_HIPPOCAMPUS = (
    (0.31, 0.08, -0.30, 0.065),
    (0.34, -0.12, -0.27, 0.055),
    (0.28, -0.30, -0.12, 0.045),
    (0.17, -0.33, 0.05, 0.04),
)
_BRAINSTEM = ((0.0, -0.10, -0.10, 0.10), (0.0, -0.16, -0.42, 0.13), (0.0, -0.27, -0.90, 0.07))
# The Sylvian fissure seen from above: from the side of the head inwards, then along the insula.
_SYLVIAN = tuple((x, y, 0.0, _FISSURE_HALF_WIDTH) for x, y in ((0.80, 0.26), (0.56, 0.18), (0.50, 0.32), (0.50, 0.02)))


def _random_waves(seed: int, count: int, low: float, high: float, flatness: float = 1.0) -> list[_Wave]:
    """(wave vector, phase) of `count` waves, with lengths from `low` to `high` radians per half field of view."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3)) * (1.0, 1.0, flatness)
    vectors *= np.geomspace(low, high, count)[:, None] / np.linalg.norm(vectors, axis=1, keepdims=True)
    return list(zip(vectors.astype("float32"), rng.uniform(0.0, 2.0 * np.pi, count).astype("float32"), strict=True))


_GYRI = _random_waves(116, 7, 9.0, 13.0, flatness=0.5)
_TEXTURE = _random_waves(1, 18, 5.0, 32.0)


def paint(
    points: ArrayLike, edge: float, intensities: Mapping[str, float] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and anti-aliased intensities of the head at any points.

    Args:
        points: `[3, *any]`, x, y and z in half fields of view.
        edge: width of the ramp from one tissue's intensity to the next, in half fields of view; the size
            of one voxel is a good choice.
        intensities: mean intensity of each structure, by default `INTENSITIES`.

    Returns:
        `(labels, image, coverage)`, each `[*any]`: uint8 labels, keys of `LABEL_NAMES`; float32 intensities; and
        the float32 fraction, 0 to 1, by which each point belongs to the head rather than to the background.

    Example:

    >>> labels, image, coverage = paint([[0.3, 0.0], [-0.1, 0.95], [0.3, 0.0]], edge=0.03)
    >>> [LABEL_NAMES[int(label)] for label in labels]
    ['right white matter', 'background']
    """
    intensities = INTENSITIES if intensities is None else intensities
    locations = np.asarray(points, "float32")
    right = locations[0] > 0
    labels = np.zeros(locations.shape[1:], "uint8")
    image = np.zeros(locations.shape[1:], "float32")
    coverage = np.zeros(locations.shape[1:], "float32")
    for number, (name, inside, factor) in enumerate(_structures(locations)):
        sides = [label for label, full_name in LABEL_NAMES.items() if full_name.endswith(name)]
        labels = np.where(inside < 0, np.where(right, sides[-1], sides[0]), labels).astype("uint8")
        weight = np.clip(0.5 - inside / edge, 0.0, 1.0)
        image += weight * (float(intensities[name]) * factor - image)
        if number == 0:
            # The first structure, the fluid, is as large as the head.
            coverage = weight
    return labels, image * (1.0 + 0.09 * _texture(locations)), coverage


def _structures(points: np.ndarray) -> Iterator[tuple[str, np.ndarray, float | np.ndarray]]:
    """Yield (name, function value, intensity factor) for each structure; later ones are painted over earlier ones."""
    x, y, z = mirrored = np.stack([np.abs(points[0]), points[1], points[2]])
    outer, hull = _cerebrum(mirrored)
    cerebellum = _ellipsoid(mirrored, (0.24, -0.46, -0.50), (0.28, 0.29, 0.22))
    brainstem = _tube(mirrored, _BRAINSTEM)
    yield "csf", np.minimum(np.minimum(hull, cerebellum), brainstem) - _CSF_RIM, 1.0
    surface = _folded_surface(points, mirrored, outer, hull)
    yield "cortex", surface, 1.0
    yield "white matter", surface + _CORTEX_THICKNESS, 1.0
    # A sheet of fluid separates the cerebellum from the cerebrum above it.
    yield "csf", cerebellum - 0.02, 1.0
    folia = np.cos(42.0 * _length(mirrored - _column((0.0, -0.14, -0.48), points)))
    yield "cerebellum", np.maximum(cerebellum, _FISSURE_HALF_WIDTH - x), 1.0 + 0.15 * folia
    yield "brainstem", brainstem, 1.0
    yield "csf", _ellipsoid(mirrored, (0.0, -0.08, 0.02), (0.022, 0.17, 0.12)), 1.0
    yield "thalamus", _ellipsoid(mirrored, (0.125, -0.11, 0.07), (0.095, 0.18, 0.11), turn=0.35), 1.0
    horns = _smooth_minimum(_tube(mirrored, _VENTRICLE), _tube(mirrored, _POSTERIOR_HORN), 0.04)
    yield "lateral ventricle", horns, 1.0
    yield "caudate", _tube(mirrored, _CAUDATE), 1.0
    yield "putamen", _ellipsoid(mirrored, (0.345, 0.10, 0.05), (0.075, 0.21, 0.14), turn=0.2), 1.0
    yield "hippocampus", _tube(mirrored, _HIPPOCAMPUS), 1.0


def _cerebrum(mirrored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smooth hull around both hemispheres: (outer surface without a base, hull with the base cut off)."""
    x, y, z = mirrored
    upper = _ellipsoid(np.stack([x / (1.0 - 0.10 * y), y, z]), (0.0, 0.0, 0.0), (0.73, 0.87, 0.80))
    temporal = _ellipsoid(mirrored, (0.42, 0.12, -0.22), (0.24, 0.45, 0.27))
    tentorium = _ellipsoid(mirrored, (0.0, -0.40, -0.80), (0.80, 0.80, 0.58))
    base = _smooth_minimum(z + 0.36, tentorium, 0.1)
    hull = _smooth_minimum(-_smooth_minimum(-upper, base, 0.12), temporal, 0.06)
    return np.minimum(upper, temporal), hull


def _folded_surface(points: np.ndarray, mirrored: np.ndarray, outer: np.ndarray, hull: np.ndarray) -> np.ndarray:
    """The cerebral surface: the hull, cut by the fissures and by sulci along the zero lines of waves."""
    x, y, z = mirrored
    callosum = _ellipsoid(mirrored, (0.0, -0.02, 0.0), (1.0, 0.50, 0.38))
    cuts = _intersection(x - _FISSURE_HALF_WIDTH, -callosum)
    sylvian = _tube(mirrored * _column((1.0, 1.0, 0.0), points), _SYLVIAN)
    cuts = np.minimum(cuts, _intersection(sylvian, np.abs(z) - 0.25))
    return -_smooth_minimum(-hull, np.minimum(cuts, _sulci(points, outer)), 0.05)


def _sulci(points: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Sheets of fluid that reach inwards from the outer hull, nearly at right angles to it."""
    arms = points - _column(_SULCUS_CENTRE, points)
    radius = _length(arms) + 1e-3
    directions = arms / radius
    wave, slope = np.zeros_like(radius), np.zeros_like(points)
    for vector, phase in _GYRI:
        argument = _dot(vector, directions) + phase
        wave += np.cos(argument)
        slope += _column(vector, points) * np.sin(argument)
    along_arm = (slope * directions).sum(0)
    # The constant keeps the distance finite where the wave is flat.
    steepness = np.sqrt(np.maximum((slope**2).sum(0) - along_arm**2, 0.0) + 25.0)
    depth = 0.14 + 0.04 * np.cos(_dot((6.0, 9.0, 5.0), points))
    return _intersection(np.abs(wave) * radius / steepness - _FISSURE_HALF_WIDTH, -outer - depth)


def _texture(points: np.ndarray) -> np.ndarray:
    """Smooth variation of intensity within a tissue, about -1 to 1; fixed, not random."""
    waves = np.zeros(points.shape[1:], "float32")
    for vector, phase in _TEXTURE:
        waves = waves + np.cos(_dot(vector, points) + phase)
    return waves / math.sqrt(2.0 * len(_TEXTURE))


def _ellipsoid(points: np.ndarray, centre: _Vector, radii: _Vector, turn: float = 0.0) -> np.ndarray:
    """First-order distance from an ellipsoid that is rotated by `turn` radians about z."""
    x, y, z = points - _column(centre, points)
    cosine, sine = math.cos(turn), math.sin(turn)
    scaled = np.stack([cosine * x + sine * y, cosine * y - sine * x, z]) / _column(radii, points)
    norm = _length(scaled)
    return norm * (norm - 1.0) / np.maximum(_length(scaled / _column(radii, points)), 1e-6)


def _tube(points: np.ndarray, path: Sequence[Sequence[float]]) -> np.ndarray:
    """Distance from a chain of rounded cones through (x, y, z, radius)."""
    distances = []
    for start, end in itertools.pairwise(np.array(path, "float32")):
        along = (end - start)[:3]
        offsets = points - _column(start[:3], points)
        part = np.clip(_dot(along / (along @ along), offsets), 0.0, 1.0)
        distances.append(_length(offsets - part * _column(along, points)) - start[3] - part * (end - start)[3])
    return np.minimum.reduce(distances)


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The intersection of two structures: max(a, b) inside, and the distance to the edge of both surfaces outside."""
    return np.hypot(np.maximum(a, 0.0), np.maximum(b, 0.0)) + np.minimum(np.maximum(a, b), 0.0)


def _smooth_minimum(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """min(a, b) with its crease rounded over `width`."""
    blend = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.minimum(a, b) - 0.25 * width * blend**2


def _column(vector: _Vector, points: np.ndarray) -> np.ndarray:
    """A vector reshaped so that it broadcasts along the first axis of `points`."""
    return np.asarray(vector, "float32").reshape(3, *[1] * (points.ndim - 1))


def _dot(vector: _Vector, points: np.ndarray) -> np.ndarray:
    return vector[0] * points[0] + vector[1] * points[1] + vector[2] * points[2]


def _length(points: np.ndarray) -> np.ndarray:
    return np.sqrt(_dot(points, points))
