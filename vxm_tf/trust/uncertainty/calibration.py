"""How large an error is likely at each voxel: split conformal prediction on pairs with known truth."""

import dataclasses
import math

import numpy as np

from vxm_tf.trust.uncertainty.spread import Uncertainty

COVERAGE = 0.9
KEY = "calibration"
"""Of a network's metadata."""
# Errors below are not told apart, in voxels.
SMALL = 0.01
# Of the regression, on features of variance 1, a voxel: features that say the same share what they say.
RIDGE = 0.01


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The radius that holds the true displacement: bound * exp(sum of weights * features), in voxels.

    Attributes:
        bound: such that the radius holds with probability `coverage`.
        coverage: 0 to 1.
        weights: name of a feature to its weight, see `error_features`.
        method: of the `Uncertainty`.
        samples: of the `Uncertainty`.
        pairs: that it was measured on.
        source: what these pairs were.
    """

    bound: float
    coverage: float
    weights: dict
    method: str
    samples: int
    pairs: int
    source: str = ""

    def radius(self, features: dict) -> np.ndarray:
        """In voxels, of the features' shape.

        Raises:
            ValueError: a feature that it was measured with is missing.
        """
        missing = set(self.weights) - set(features)
        if missing:
            raise ValueError(f"This calibration is of other features; missing: {', '.join(sorted(missing))}.")
        parts = (weight * np.asarray(features[name], "float64") for name, weight in self.weights.items())
        return (self.bound * np.exp(sum(parts))).astype("float32")

    def applied(self, uncertainty: Uncertainty, features: dict, spacing_mm: float) -> Uncertainty:
        """The `Uncertainty` with its bound and coverage.

        Args:
            uncertainty: of the method that was calibrated.
            features: of its pair, `[*spatial]` each.
            spacing_mm: geometric mean of the voxel size.

        Raises:
            ValueError: an uncertainty by another method, or other features.
        """
        if uncertainty.method != self.method:
            raise ValueError(
                f"This calibration is of {self.method}, the uncertainty of {uncertainty.method}: each has its own."
            )
        bound_mm = self.radius(features) * np.float32(spacing_mm)
        return dataclasses.replace(uncertainty, bound_mm=bound_mm, coverage=self.coverage)


def calibrate(pairs, method: str, samples: int, coverage: float = COVERAGE, source: str = "") -> Calibration:
    """The `Calibration` that pairs with known truth give.

    A linear regression of log(error) on the features tells less and more certain places apart. How many times what
    it predicts is a bound comes from pairs that it has not seen, each in turn (cross-conformal prediction, Vovk,
    Annals of Mathematics and Artificial Intelligence 2015): error over prediction is a voxel's score, the bound their
    quantile such that a further pair like these is covered, the ceil((n + 1) coverage)-th smallest of n. Every pair
    counts alike, whatever its size. Voxels of one pair resemble each other, so what is promised holds on average
    over pairs, not within each.

    Args:
        pairs: [(error in voxels `[voxels]`, features {name: `[voxels]`})], two or more, of the voxels that count, such
            as those in the head.
        method: of the uncertainty.
        samples: likewise.
        coverage: to be reached.
        source: what the pairs are, to be remembered.

    Raises:
        ValueError: fewer than two pairs, a pair without voxel or feature, arrays of unlike length, values that are not
            finite, or a coverage that is not between 0 and 1.
    """
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage lies between 0 and 1; got {coverage}.")
    names, rows = _rows(pairs)
    moments = [_moments(*row) for row in rows]
    whole = sum(moments)
    scores = [
        np.exp(target - features @ _weights(whole - own)) for (features, target), own in zip(rows, moments, strict=True)
    ]
    bound = _quantile(scores, coverage)
    weights = dict(zip(names, map(float, _weights(whole)), strict=True))
    return Calibration(bound, coverage, weights, method, samples, len(rows), source)


def _rows(pairs):
    """(names, [(features `[voxels, n]`, log of the error)]); features first, checked."""
    names, rows = None, []
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


def _moments(features, target):
    """Mean products of (1, features, target) of a pair, `[n + 2, n + 2]`: all that a regression needs of it."""
    table = np.column_stack([np.ones(len(target)), features, target])
    return table.T @ table / len(target)


def _weights(moments):
    """Of the features alone; the constant goes into the bound."""
    mean = moments[0] / moments[0, 0]
    covariance = moments / moments[0, 0] - np.outer(mean, mean)
    features, target = covariance[1:-1, 1:-1], covariance[1:-1, -1]
    return np.linalg.solve(features + RIDGE * np.diag(np.maximum(np.diag(features), 1e-12)), target)


def _quantile(scores, coverage):
    weights = np.concatenate([np.full(len(part), 1.0 / len(part)) for part in scores])
    scores = np.concatenate(scores)
    order = np.argsort(scores)
    share, count = np.cumsum(weights[order]) / weights.sum(), len(scores)
    rank = min(1.0, math.ceil((count + 1) * coverage) / count)
    return float(scores[order][min(np.searchsorted(share, rank - 1e-12), count - 1)])


def remember(network, calibration: Calibration):
    """Keep a calibration in a network's metadata, one for each method; it is saved with the network."""
    kept = dict(network.metadata.get(KEY, {}))
    kept[calibration.method] = dataclasses.asdict(calibration)
    network.metadata[KEY] = kept


def calibration_of(network, method: str) -> Calibration | None:
    """The calibration that a network was saved with; None without."""
    kept = network.metadata.get(KEY, {}).get(method) if network is not None else None
    return Calibration(**kept) if kept else None
