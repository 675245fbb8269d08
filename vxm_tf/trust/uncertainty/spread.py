"""The spread of plausible registrations of one pair."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from vxm_tf.models import VxmProbabilistic

SAMPLES = 16
"""Default number of registrations of one pair."""


class RunningMoments:
    """Running mean and variance over a sequence of arrays (Welford, Technometrics 1962).

    It keeps two arrays in memory, however many are added.

    Attributes:
        count: number of arrays so far.
        mean: mean of the arrays so far; 0 before the first.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray | float = 0.0
        self._squares: np.ndarray | float = 0.0

    def add(self, values: np.ndarray) -> None:
        """Add one more array of the same shape."""
        self.count += 1
        step = values - self.mean
        self.mean = self.mean + step / self.count
        self._squares = self._squares + step * (values - self.mean)

    @property
    def variance(self) -> np.ndarray:
        """Unbiased variance, which needs at least two arrays."""
        return np.asarray(self._squares / (self.count - 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Uncertainty:
    """Spread of plausible registrations of one pair.

    Attributes:
        displacement_std_mm: float32 `[*spatial]`, root of the summed variances of the displacement's components, in
            millimetres.
        samples: number of registrations.
        method: "samples" of a network's distribution, or "perturbations" of the images.
        bound_mm: float32 `[*spatial]`, radius that holds the true displacement with the probability `coverage`, in
            millimetres, as measured on pairs with known truth, see `calibrate`; None if it was never measured.
        coverage: probability that the bound holds, 0 to 1; None without a bound.
        beyond: reasons why the pair lies outside what the bound was measured on, so that fewer errors may lie within;
            empty if it lies inside, or without a bound.
    """

    displacement_std_mm: np.ndarray
    samples: int
    method: str
    bound_mm: np.ndarray | None = None
    coverage: float | None = None
    beyond: tuple[str, ...] = ()

    def summary(self, inside: np.ndarray | None = None) -> dict[str, Any]:
        """Method, number of registrations, and percentiles of the maps, as plain values by name.

        Args:
            inside: bool `[*spatial]`, voxels to summarise; None, or a mask that is empty, for all of them.
        """
        if inside is None or not inside.any():
            inside = np.ones(self.displacement_std_mm.shape, bool)
        percentiles = np.percentile(self.displacement_std_mm[inside], (50, 95, 100))
        summary: dict[str, Any] = {"method": self.method, "samples": self.samples}
        summary |= zip(("median_std_mm", "percentile95_std_mm", "largest_std_mm"), map(float, percentiles))
        if self.bound_mm is not None:
            summary |= {"median_bound_mm": float(np.median(self.bound_mm[inside])), "bound_coverage": self.coverage}
            summary |= {"bound_in_range": not self.beyond, "bound_beyond": list(self.beyond)}
        return summary


def uncertainty_of(displacements: Iterable[np.ndarray], linear: np.ndarray, method: str) -> Uncertainty:
    """The `Uncertainty` from registrations of one pair, which are read one after another.

    Args:
        displacements: float `[*spatial, ndim]` each, in voxels, two or more.
        linear: `[ndim, ndim]` matrix from voxels to millimetres, such as `numpy.diag(spacing_mm)`.
        method: name of the method that made the displacements, see `Uncertainty`.

    Raises:
        ValueError: fewer than two displacements.
    """
    moments = RunningMoments()
    linear = np.asarray(linear, "float32")
    for displacement in displacements:
        moments.add(displacement @ linear.T)
    if moments.count < 2:
        raise ValueError(f"A spread needs 2 registrations or more; got {moments.count}.")
    return Uncertainty(np.sqrt(moments.variance.sum(-1)).astype("float32"), moments.count, method)


def sampled_displacements(
    network: VxmProbabilistic, moving: np.ndarray, fixed: np.ndarray, samples: int, seed: int = 0
) -> Iterator[np.ndarray]:
    """Displacements of one pair, drawn from the distribution that a `VxmProbabilistic` predicts.

    Args:
        network: network for images of this shape or of any shape.
        moving, fixed: float `[*spatial, channels]`, of equal shape, normalised as for the network's training.
        samples: number of displacements.
        seed: seed of the draws.

    Yields:
        float32 `[*spatial, ndim]`, in voxels.
    """
    if None not in network.settings["image_shape"]:
        network = network.for_shape(fixed.shape[:-1])
    answers = network.with_outputs("velocity", "log_variance")
    predicted = answers.predict_on_batch({"moving": moving[None], "fixed": fixed[None]})
    mean, log_variance = predicted["velocity"], predicted["log_variance"]
    for number in range(samples):
        # The factor keeps the seeds of the samples of one run apart from those of the next.
        velocity = network.sample_velocity(mean, log_variance, seed=seed * 100_003 + number)
        steps = network.settings["integration_steps"]
        yield np.asarray(network.integrated(velocity, fixed.shape[:-1], steps))[0]
