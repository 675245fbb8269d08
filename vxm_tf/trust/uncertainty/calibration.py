"""Error bounds for each voxel, by cross-conformal prediction on pairs with known truth."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from vxm_tf.models import RegistrationNetwork
from vxm_tf.trust.uncertainty.pair_factor import check_coverage, pair_factor
from vxm_tf.trust.uncertainty.spread import Uncertainty

COVERAGE = 0.9
"""Default probability that a bound holds."""
KEY = "calibration"
"""Key under which a network's metadata holds its calibrations."""
# Added to every error before its logarithm, in voxels, so that differences far below it do not count.
SMALL = 0.01
# Ridge penalty, in units of each feature's variance, so that collinear features share their weight.
RIDGE = 0.01


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Formula for the radius that holds the true displacement: bound * exp(sum of weights * features).

    Lengths are in units of the mean voxel size, the geometric mean of the voxel's edges in millimetres.

    Attributes:
        bound: factor with which the radius holds the true displacement with probability `coverage`.
        coverage: probability that the radius holds the true displacement, 0 to 1, on average over pairs like those
            that it was measured on.
        weights: weight of each feature by name, see `error_features`.
        method: method of the `Uncertainty` that it was measured with.
        samples: number of registrations of the `Uncertainty` that it was measured with.
        pairs: number of pairs that it was measured on.
        source: description of these pairs.
        lowest_coverage: coverage of a single further pair below which one pair in ten lies, 0 to 1.
        highest_coverage: coverage of a single further pair above which one pair in ten lies, 0 to 1.
        feature_minima: least value of each feature in the calibration, by name; smaller values count as this one.
        feature_maxima: largest value of each feature in the calibration, by name; larger values count as this one.
        largest: largest value of each measure over the pairs, by name, see `pair_measures`; empty if not recorded.
        grid: `shape` and `spacing_mm` of the pairs' images; empty if they have no common ones.
    """

    bound: float
    coverage: float
    weights: dict[str, float]
    method: str
    samples: int
    pairs: int
    source: str = ""
    lowest_coverage: float | None = None
    highest_coverage: float | None = None
    feature_minima: dict[str, float] = dataclasses.field(default_factory=dict)
    feature_maxima: dict[str, float] = dataclasses.field(default_factory=dict)
    largest: dict[str, float] = dataclasses.field(default_factory=dict)
    grid: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def radius(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """The radius that holds the true displacement, in mean voxel sizes, float32 of the features' shape.

        Raises:
            ValueError: a feature that has a weight is missing.
        """
        missing = set(self.weights) - set(features)
        if missing:
            raise ValueError(f"This calibration is of other features; missing: {', '.join(sorted(missing))}.")
        parts = (weight * self._within_range(name, features[name]) for name, weight in self.weights.items())
        return (self.bound * np.exp(sum(parts))).astype("float32")

    def _within_range(self, name: str, values: np.ndarray) -> np.ndarray:
        """Values of a feature, limited to those of the calibration: beyond them the regression knows nothing."""
        limits = self.feature_minima.get(name, -np.inf), self.feature_maxima.get(name, np.inf)
        return np.clip(np.asarray(values, "float64"), *limits)

    def applied(self, uncertainty: Uncertainty, features: Mapping[str, np.ndarray], spacing_mm: float) -> Uncertainty:
        """Add bound and coverage to an `Uncertainty`.

        Args:
            uncertainty: an uncertainty by the method that was calibrated.
            features: features of the same pair by name, `[*spatial]` each.
            spacing_mm: geometric mean of the voxel size, in millimetres.

        Raises:
            ValueError: an uncertainty by another method, or a missing feature.
        """
        if uncertainty.method != self.method:
            raise ValueError(
                f"This calibration is of {self.method}, the uncertainty of {uncertainty.method}: each has its own."
            )
        bound_mm = self.radius(features) * np.float32(spacing_mm)
        return dataclasses.replace(uncertainty, bound_mm=bound_mm, coverage=self.coverage)


def calibrate(
    pairs: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]],
    method: str,
    samples: int,
    coverage: float = COVERAGE,
    source: str = "",
    measures: Sequence[Mapping[str, float]] = (),
    grid: Mapping[str, list[float]] | None = None,
) -> Calibration:
    """Measure a `Calibration` on pairs with known truth.

    A linear regression of log(error) on the features predicts the size of the error at each voxel. The factor that
    turns a prediction into a bound comes from pairs that the regression was not fitted to, each left out in turn
    (cross-conformal prediction, Vovk, Annals of Mathematics and Artificial Intelligence 2015): the score of a voxel is
    its error divided by the prediction. Voxels of one pair resemble each other, so what counts is the number of pairs:
    the factor covers a further pair on average over calibrations and pairs, if the logarithms of the pairs' own factors
    are normally distributed, see `pair_factor`. Within one pair the coverage is lower or higher; the calibration states
    the interval.

    Args:
        pairs: (error `[voxels]`, features {name: `[voxels]`}) of each of two or more pairs, for the voxels that count,
            such as those in the head; errors in mean voxel sizes.
        method: method of the uncertainty, see `Uncertainty`.
        samples: number of registrations from which the uncertainty was estimated.
        coverage: probability with which the bound should hold, between 0 and 1.
        source: description of the pairs, kept in the calibration.
        measures: measures of each pair, see `pair_measures`; without them no range is recorded.
        grid: `shape` and `spacing_mm` of the pairs' images, if they have common ones.

    Raises:
        ValueError: fewer than two pairs, a pair without voxel or feature, arrays of unlike length, values that are not
            finite, a coverage that is not between 0 and 1, or one that so few pairs cannot promise.
    """
    check_coverage(coverage)
    names, rows = _rows(pairs)
    moments = [_moments(*row) for row in rows]
    whole = sum(moments, np.zeros_like(moments[0]))
    scores = [target - features @ _weights(whole - own) for (features, target), own in zip(rows, moments, strict=True)]
    factor = pair_factor(scores, coverage)
    weights = dict(zip(names, map(float, _weights(whole)), strict=True))
    minima = np.min([features.min(axis=0) for features, _ in rows], axis=0)
    maxima = np.max([features.max(axis=0) for features, _ in rows], axis=0)
    return Calibration(
        factor.factor,
        coverage,
        weights,
        method,
        samples,
        len(rows),
        source,
        factor.lowest,
        factor.highest,
        dict(zip(names, map(float, minima), strict=True)),
        dict(zip(names, map(float, maxima), strict=True)),
        largest={name: max(each[name] for each in measures) for name in (measures[0] if measures else ())},
        grid=dict(grid or {}),
    )


def _rows(
    pairs: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]],
) -> tuple[tuple[str, ...], list[tuple[np.ndarray, np.ndarray]]]:
    """Names of the features, and (features `[voxels, n]`, log of the error `[voxels]`) of each pair, checked."""
    names: tuple[str, ...] = ()
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    for error, features in pairs:
        names = names or tuple(features)
        error = np.asarray(error, "float64")
        shapes = {error.shape, *(np.shape(values) for values in features.values())}
        if not features or tuple(features) != names or len(shapes) > 1 or error.ndim != 1 or not error.size:
            raise ValueError(
                "Each pair has an error and every feature, for each of its voxels; got "
                f"{error.shape} and { ({name: np.shape(values) for name, values in features.items()}) }."
            )
        rows.append((np.stack([*map(np.asarray, features.values())], -1).astype("float64"), np.log(error + SMALL)))
        if not all(np.isfinite(part).all() for part in rows[-1]):
            raise ValueError("An error or a feature is NaN or infinite.")
    if len(rows) < 2:
        raise ValueError(f"Calibrating takes two pairs or more; got {len(rows)}.")
    return names, rows


def _moments(features: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean products of (1, features, target) over a pair's voxels, `[n + 2, n + 2]`: enough for the regression."""
    table = np.column_stack([np.ones(len(target)), features, target])
    return table.T @ table / len(target)


def _weights(moments: np.ndarray) -> np.ndarray:
    """Weights of the features `[n]`, by ridge regression; the bound stands for the constant."""
    mean = moments[0] / moments[0, 0]
    covariance = moments / moments[0, 0] - np.outer(mean, mean)
    features, target = covariance[1:-1, 1:-1], covariance[1:-1, -1]
    return np.linalg.solve(features + RIDGE * np.diag(np.maximum(np.diag(features), 1e-12)), target)


def remember(network: RegistrationNetwork, calibration: Calibration) -> None:
    """Keep a calibration in a network's metadata, one for each method, so that it is saved with the network."""
    kept = dict(network.metadata.get(KEY, {}))
    kept[calibration.method] = dataclasses.asdict(calibration)
    network.metadata[KEY] = kept


def calibration_of(network: RegistrationNetwork | None, method: str) -> Calibration | None:
    """The calibration of a method that a network keeps in its metadata; None if it keeps none."""
    kept = network.metadata.get(KEY, {}).get(method) if network is not None else None
    return Calibration(**kept) if kept else None
