"""Displacements made wrong on purpose by known amounts: smooth errors, shifts, turns, and fractions of the right one.

Lengths are in millimetres; `Answer` holds a registered pair. `studies.gate` judges what comes out.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from vxm_tf.metrics import foreground
from vxm_tf.trust.gate.pair_view import scaled

# Standard deviation, for brains, of the Gaussian that makes a smooth error of white noise, in millimetres; smaller
# contents have proportionally shorter ones.
CORRELATION_MM, BRAIN_MM = 20.0, 127.0
SMOOTH_MM = (1, 2, 3, 4, 6, 8)
SHIFTS_MM = (2, 5, 10, 20)
TURNS_DEGREES = (2, 5, 10, 15)
FRACTIONS = (-1.0, 0.0, 0.25, 0.5, 0.75)


@dataclasses.dataclass(frozen=True)
class Answer:
    """A registered pair.

    Attributes:
        moving, fixed: float32 `[*spatial, channels]`, on one grid.
        displacement: float32 `[*spatial, ndim]`, in voxels.
        linear: `[ndim, ndim]`, whose columns are the edges of a voxel in millimetres.
    """

    moving: np.ndarray
    fixed: np.ndarray
    displacement: np.ndarray
    linear: np.ndarray

    @property
    def content(self) -> np.ndarray:
        """Bool `[*spatial]`, foreground of the fixed image's first channel."""
        return foreground(scaled(self.fixed[..., 0]), 1.0)

    @property
    def spacing_mm(self) -> np.ndarray:
        return np.linalg.norm(self.linear, axis=0)


def in_voxels(answer: Answer, vectors_mm: np.ndarray) -> np.ndarray:
    """Vectors `[..., ndim]` in millimetres as voxels of the grid."""
    return vectors_mm @ np.linalg.inv(answer.linear).T


def smooth_error(answer: Answer, rng: np.random.Generator, rms_mm: float, part: float = 1.0) -> np.ndarray:
    """The displacement plus smooth noise of this root mean square length within the content.

    Args:
        answer: a registered pair.
        rng: generator of the noise.
        rms_mm: root mean square length of the error.
        part: factor of the length over which the error is correlated.
    """
    content = answer.content
    size_mm = (content.sum() * abs(np.linalg.det(answer.linear))) ** (1 / content.ndim)
    sigma = part * CORRELATION_MM * min(size_mm / BRAIN_MM, 1.0) / answer.spacing_mm
    noise = [rng.standard_normal(content.shape, "float32") for _ in answer.spacing_mm]
    error = np.stack([ndimage.gaussian_filter(component, sigma, truncate=3.0) for component in noise], axis=-1)
    error *= rms_mm / np.sqrt(np.mean(np.sum(error[content] ** 2, axis=-1)))
    return answer.displacement + in_voxels(answer, error)


def shifted(answer: Answer, rng: np.random.Generator, shift_mm: float) -> np.ndarray:
    """The displacement after which everything is shifted in a random direction."""
    direction = rng.standard_normal(len(answer.linear))
    return answer.displacement + in_voxels(answer, shift_mm * direction / np.linalg.norm(direction))


def turned(answer: Answer, rng: np.random.Generator, degrees: float) -> np.ndarray:
    """The displacement after which everything is turned about the middle of the content and a random axis."""
    ndim = len(answer.linear)
    angle = np.radians(degrees)
    axes = np.linalg.qr(rng.standard_normal((ndim, ndim)))[0]
    plane = np.eye(ndim)
    plane[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn = axes @ plane @ axes.T
    voxels = np.moveaxis(np.indices(answer.content.shape), 0, -1)
    middle = np.argwhere(answer.content).mean(axis=0)
    goal_mm = (voxels + answer.displacement - middle) @ answer.linear.T
    return in_voxels(answer, goal_mm @ turn.T) - (voxels - middle)


def all_of(answer: Answer, seed: tuple[int, ...]) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yield every wrong displacement as (kind, amount, displacement in voxels), the right one first."""
    yield "as registered", 0.0, answer.displacement
    for fraction in FRACTIONS:
        yield "fraction of the displacement", fraction, fraction * answer.displacement
    for rms_mm in SMOOTH_MM:
        yield "smooth error, mm rms", rms_mm, smooth_error(answer, np.random.default_rng((*seed, 1)), rms_mm)
    yield "smooth error, half as wide, mm rms", 4, smooth_error(answer, np.random.default_rng((*seed, 2)), 4, 0.5)
    yield "smooth error, twice as wide, mm rms", 4, smooth_error(answer, np.random.default_rng((*seed, 3)), 4, 2.0)
    for shift_mm in SHIFTS_MM:
        yield "shift, mm", shift_mm, shifted(answer, np.random.default_rng((*seed, 4)), shift_mm)
    for degrees in TURNS_DEGREES:
        yield "turn, degrees", degrees, turned(answer, np.random.default_rng((*seed, 5)), degrees)
