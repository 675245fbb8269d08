"""Error bounds for each voxel, by cross-conformal prediction on pairs with known truth."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from vxm_tf.models import RegistrationNetwork
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
    """Formula for the radius that holds the true displacement: bound * exp(sum of weights * features), in voxels.

    Attributes:
        bound: factor with which the radius holds the true displacement with probability `coverage`, in voxels.
        coverage: probability that the radius holds the true displacement, 0 to 1.
        weights: weight of each feature by name, see `error_features`.
        method: method of the `Uncertainty` that it was measured with.
        samples: number of registrations of the `Uncertainty` that it was measured with.
        pairs: number of pairs that it was measured on.
        source: description of these pairs.
    """

    bound: float
    coverage: float
    weights: dict[str, float]
    method: str
    samples: int
    pairs: int
    source: str = ""

    def radius(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """The radius that holds the true displacement, in voxels, float32 of the features' shape.

        Raises:
            ValueError: a feature that has a weight is missing.
        """
        missing = set(self.weights) - set(features)
        if missing:
            raise ValueError(f"This calibration is of other features; missing: {', '.join(sorted(missing))}.")
        parts = (weight * np.asarray(features[name], "float64") for name, weight in self.weights.items())
        return (self.bound * np.exp(sum(parts))).astype("float32")

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
) -> Calibration:
    """Measure a `Calibration` on pairs with known truth.

    A linear regression of log(error) on the features predicts the size of the error at each voxel. The factor that
    turns a prediction into a bound comes from pairs that the regression was not fitted to, each left out in turn
    (cross-conformal prediction, Vovk, Annals of Mathematics and Artificial Intelligence 2015): the score of a voxel is
    its error divided by the prediction, and the bound is that quantile of the scores, the ceil((n + 1) coverage)-th
    smallest of n, which covers a further pair like these. Every pair counts alike, whatever its size. Voxels of one
    pair resemble each other, so the coverage holds on average over pairs, not within each pair.

    Args:
        pairs: (error in voxels `[voxels]`, features {name: `[voxels]`}) of each of two or more pairs, for the voxels
            that count, such as those in the head.
        method: method of the uncertainty, see `Uncertainty`.
        samples: number of registrations from which the uncertainty was estimated.
        coverage: probability with which the bound should hold, between 0 and 1.
        source: description of the pairs, kept in the calibration.

    Raises:
        ValueError: fewer than two pairs, a pair without voxel or feature, arrays of unlike length, values that are not
            finite, or a coverage that is not between 0 and 1.
    """
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage lies between 0 and 1; got {coverage}.")
    names, rows = _rows(pairs)
    moments = [_moments(*row) for row in rows]
    whole = sum(moments, np.zeros_like(moments[0]))
    scores = [
        np.exp(target - features @ _weights(whole - own)) for (features, target), own in zip(rows, moments, strict=True)
    ]
    bound = _quantile(scores, coverage)
    weights = dict(zip(names, map(float, _weights(whole)), strict=True))
    return Calibration(bound, coverage, weights, method, samples, len(rows), source)


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


def _quantile(scores_of_pairs: Sequence[np.ndarray], coverage: float) -> float:
    """The conformal quantile of the scores, in which every pair weighs alike."""
    weights = np.concatenate([np.full(len(part), 1.0 / len(part)) for part in scores_of_pairs])
    scores = np.concatenate(scores_of_pairs)
    order = np.argsort(scores)
    share, count = np.cumsum(weights[order]) / weights.sum(), len(scores)
    rank = min(1.0, math.ceil((count + 1) * coverage) / count)
    return float(scores[order][min(int(np.searchsorted(share, rank - 1e-12)), count - 1)])


def remember(network: RegistrationNetwork, calibration: Calibration) -> None:
    """Keep a calibration in a network's metadata, one for each method, so that it is saved with the network."""
    kept = dict(network.metadata.get(KEY, {}))
    kept[calibration.method] = dataclasses.asdict(calibration)
    network.metadata[KEY] = kept


def calibration_of(network: RegistrationNetwork | None, method: str) -> Calibration | None:
    """The calibration of a method that a network keeps in its metadata; None if it keeps none."""
    kept = network.metadata.get(KEY, {}).get(method) if network is not None else None
    return Calibration(**kept) if kept else None
