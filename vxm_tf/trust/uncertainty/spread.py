"""How far plausible registrations of one pair lie apart."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vxm_tf.metrics import jacobian_determinant

SAMPLES = 16


class RunningMoments:
    """Mean and variance of arrays that come one after another (Welford, Technometrics 1962).

    Memory is that of two arrays, however many come.
    """

    def __init__(self):
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, values):
        """One more array of the same shape."""
        self.count += 1
        step = values - self.mean
        self.mean = self.mean + step / self.count
        self._squares = self._squares + step * (values - self.mean)

    @property
    def variance(self):
        """Unbiased; there must be two arrays or more."""
        return self._squares / (self.count - 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Uncertainty:
    """What varies among plausible registrations of one pair.

    Attributes:
        displacement_std_mm: float32 `[*spatial]`, root of the summed variances of the displacement's components.
        jacobian_std: float32 `[*spatial]`, of the displacement's determinant; no unit.
        samples: how many registrations.
        method: "samples" of a network's distribution, or "perturbations" of the images.
        bound_mm: float32 `[*spatial]`, radius that holds the true displacement with the probability `coverage`, as
            measured on pairs with known truth, see `registration.calibration`; None if never measured.
        coverage: of the bound.
    """

    displacement_std_mm: np.ndarray
    jacobian_std: np.ndarray
    samples: int
    method: str
    bound_mm: np.ndarray | None = None
    coverage: float | None = None

    def summary(self, inside=None) -> dict:
        """Without the maps, plain values; of the voxels where `inside` `[*spatial]` is true, or of all if none is."""
        inside = inside if inside is not None and inside.any() else ...
        percentiles = np.percentile(self.displacement_std_mm[inside], (50, 95, 100))
        said = dict(zip(("median_std_mm", "percentile95_std_mm", "largest_std_mm"), map(float, percentiles)))
        if self.bound_mm is not None:
            said |= {"median_bound_mm": float(np.median(self.bound_mm[inside])), "bound_coverage": self.coverage}
        return {"method": self.method, "samples": self.samples, **said}


def uncertainty_of(displacements: Iterable, linear, method: str, watch: Iterable[Callable] = ()) -> Uncertainty:
    """The `Uncertainty` of registrations that come one after another.

    Args:
        displacements: float `[*spatial, ndim]`, in voxels, two or more.
        linear: `[ndim, ndim]` from voxels to millimetres, such as `numpy.diag(spacing_mm)`.
        method: its name.
        watch: called with each displacement, to measure something else on the way.

    Raises:
        ValueError: fewer than two displacements.
    """
    field, determinant = RunningMoments(), RunningMoments()
    linear = np.asarray(linear, "float32")
    for displacement in displacements:
        field.add(displacement @ linear.T)
        determinant.add(jacobian_determinant(displacement))
        for look in watch:
            look(displacement)
    if field.count < 2:
        raise ValueError(f"A spread needs 2 registrations or more; got {field.count}.")
    spread = np.sqrt(field.variance.sum(-1)), np.sqrt(determinant.variance)
    return Uncertainty(*(part.astype("float32") for part in spread), field.count, method)


def sampled_displacements(network, moving, fixed, samples: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Displacements drawn from what a `VxmProbabilistic` says of a pair.

    Args:
        network: for this shape or for any.
        moving, fixed: float `[*spatial, channels]`, one shape, normalised as the network was trained.
        samples: how many.
        seed: the same numbers for the same seed.

    Yields:
        float32 `[*spatial, ndim]`, in voxels.
    """
    if None not in network.settings["image_shape"]:
        network = network.for_shape(fixed.shape[:-1])
    answers = network.with_outputs("velocity", "log_variance")
    found = answers.predict_on_batch({"moving": moving[None], "fixed": fixed[None]})
    for number in range(samples):
        # A seed of two numbers is a seed of its own for each sample.
        velocity = network.sample_velocity(found["velocity"], found["log_variance"], seed=seed * 100_003 + number)
        steps = network.settings["integration_steps"]
        yield np.asarray(network.integrated(velocity, fixed.shape[:-1], steps))[0]
