"""How large an error a spread stands for: split conformal prediction on pairs with known truth."""

import dataclasses
import math

import numpy as np

from vxm_tf.registration.uncertainty import Uncertainty

COVERAGE = 0.9
KEY = "calibration"
"""Of a network's metadata."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What a spread is multiplied by.

    Attributes:
        bound: the true displacement lies within `bound` times the spread of the registration's, with probability
            `coverage`.
        coverage: 0 to 1.
        floor_mm: added to every spread; what an error is where the registrations all agree.
        method: of the `Uncertainty`.
        samples: of the `Uncertainty`.
        pairs: that it was measured on.
    """

    bound: float
    coverage: float
    floor_mm: float
    method: str
    samples: int
    pairs: int

    def applied(self, uncertainty: Uncertainty) -> Uncertainty:
        """The `Uncertainty` with its bound and coverage.

        Raises:
            ValueError: an uncertainty by another method.
        """
        if uncertainty.method != self.method:
            raise ValueError(
                f"This calibration is of {self.method}, the uncertainty of {uncertainty.method}: each has its own."
            )
        spread = uncertainty.displacement_std_mm + np.float32(self.floor_mm)
        return dataclasses.replace(uncertainty, displacement_std_mm=spread, bound=self.bound, coverage=self.coverage)


def calibrate(pairs, method: str, samples: int, coverage: float = COVERAGE, floor_mm: float = 0.0) -> Calibration:
    """The `Calibration` that pairs with known truth give.

    The score of a voxel is |error| / (spread + floor); the bound is their quantile such that a further pair like these
    is covered: the ceil((n + 1) coverage)-th smallest of n. Every pair counts alike, whatever its size. Voxels of one
    pair resemble each other, so what is promised holds on average over pairs, not within each. Source: split conformal
    prediction, Papadopoulos et al., ECML 2002; Angelopoulos and Bates, 2023.

    Args:
        pairs: [(error in mm, spread in mm)], each `[voxels]`, of the voxels that count, such as those in the head.
        method: of the uncertainty.
        samples: likewise.
        coverage: to be reached.
        floor_mm: see `Calibration`.

    Raises:
        ValueError: no pair or voxel, arrays of unlike length, a coverage that is not between 0 and 1, or spreads of 0
            without a floor.
    """
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage lies between 0 and 1; got {coverage}.")
    pairs = [(np.ravel(error).astype("float64"), np.ravel(spread) + floor_mm) for error, spread in pairs]
    if not pairs or any(not len(error) or error.shape != spread.shape for error, spread in pairs):
        raise ValueError("Calibrating takes one pair or more, with an error and a spread for each of its voxels.")
    if any(np.min(spread) <= 0.0 for _, spread in pairs):
        raise ValueError("Some spreads are 0: nothing they are multiplied by makes an error of them. Give a floor_mm.")
    scores = np.concatenate([error / spread for error, spread in pairs])
    weights = np.concatenate([np.full(len(error), 1.0 / len(error)) for error, _ in pairs])
    order = np.argsort(scores)
    share = np.cumsum(weights[order]) / weights.sum()
    count = len(scores)
    rank = min(1.0, math.ceil((count + 1) * coverage) / count)
    bound = scores[order][min(np.searchsorted(share, rank - 1e-12), count - 1)]
    return Calibration(float(bound), coverage, floor_mm, method, samples, len(pairs))


def remember(network, calibration: Calibration):
    """Keep a calibration in a network's metadata, one for each method; it is saved with the network."""
    kept = dict(network.metadata.get(KEY, {}))
    kept[calibration.method] = dataclasses.asdict(calibration)
    network.metadata[KEY] = kept


def calibration_of(network, method: str) -> Calibration | None:
    """The calibration that a network was saved with; None without."""
    kept = network.metadata.get(KEY, {}).get(method) if network is not None else None
    return Calibration(**kept) if kept else None
