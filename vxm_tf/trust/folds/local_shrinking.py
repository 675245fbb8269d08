"""Removing folds from a field: smooth it where it folds, then shrink it there, and finally shrink all of it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Extent = TypeVar("Extent")
"""Type of the number that sets one round of a schedule, such as the reach of a growing window."""


@dataclasses.dataclass(frozen=True, eq=False)
class ShrinkingResult:
    """Outcome of `shrink_locally`.

    Attributes:
        field: the field, smoothed and shrunk.
        measured: array that `measure` returned for the field.
        folds: whether the field still folds.
        rounds: number of rounds of local smoothing and shrinking.
        scale: factor by which the whole field was shrunk after these rounds; 1 if they were enough.
    """

    field: np.ndarray
    measured: np.ndarray
    folds: bool
    rounds: int
    scale: float


def shrink_locally(
    field: np.ndarray,
    measure: Callable[[np.ndarray], tuple[np.ndarray, bool]],
    nearness: Callable[[np.ndarray, Extent], np.ndarray],
    smoothed: Callable[[np.ndarray, Extent], np.ndarray],
    *,
    smoothings: Sequence[Extent],
    shrinkings: Sequence[Extent],
    halvings: int | None = None,
    base: np.ndarray | float = 0.0,
    precision: str = "float64",
) -> ShrinkingResult:
    """A field without folds, changed as little and as locally as a few rounds allow.

    A smoothing round replaces the field's difference from `base` by a smoother one, and a shrinking round by half of
    it, at folds and less and less around them. If these rounds are not enough, the whole difference is halved again and
    again. Every step is followed by a new measurement, and the first field without folds is returned.

    Args:
        field: `[..., ndim]`, a displacement or a velocity.
        measure: computes for a field an array that shows where it folds, and whether it folds.
        nearness: computes weights `[..., 1]` from that array and the round's extent: 1 at folds, falling to 0 around
            them; where they are 0 the field stays exactly as it is.
        smoothed: smooths a difference from `base` by the round's extent.
        smoothings: extent of each round of local smoothing.
        shrinkings: extent of each round of local shrinking, after those of smoothing.
        halvings: largest number of times that the whole difference is halved; None for no limit.
        base: field without folds that everything is shrunk towards.
        precision: NumPy type that a round computes in; the result has the field's type.
    """
    schedule, rounds, scale = [*smoothings, *shrinkings], 0, 1.0
    measured, folds = measure(field)
    while folds and rounds < len(schedule):
        difference = np.subtract(field, base, dtype=precision)
        target = smoothed(difference, schedule[rounds]) if rounds < len(smoothings) else 0.5 * difference
        weight = nearness(measured, schedule[rounds])
        mended = (base + difference + weight * (target - difference)).astype(field.dtype)
        field, rounds = np.where(weight > 0.0, mended, field), rounds + 1
        measured, folds = measure(field)
    difference = np.subtract(field, base, dtype=precision)
    while folds and (halvings is None or scale > 0.5**halvings):
        scale *= 0.5
        field = (base + scale * difference).astype(field.dtype)
        measured, folds = measure(field)
    return ShrinkingResult(field, measured, folds, rounds, scale)
