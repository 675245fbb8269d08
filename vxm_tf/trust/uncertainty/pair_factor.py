"""The factor that turns predicted errors into bounds which hold for a further pair, from the errors of a few pairs."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from vxm_tf.files.errors import InputError

# Number of equally likely further pairs that stand for the distribution of all further pairs.
FURTHER_PAIRS = 199
# Of further pairs, the fraction on each side of the interval of their coverage.
TAIL = 0.1


@dataclasses.dataclass(frozen=True)
class PairFactor:
    """A factor and the coverage that it has in a further pair.

    Attributes:
        factor: number by which predicted errors are multiplied, so that a further pair is covered as promised on
            average.
        lowest, highest: coverage of a further pair, 0 to 1, below which one pair in ten lies, and above which one in
            ten lies.
    """

    factor: float
    lowest: float
    highest: float


def most_coverage(pairs: int) -> float:
    """The largest coverage that a number of pairs can promise: that of half a pair beyond them, (K + 1/2) / (K + 1).

    A promise for any distribution whatever ends at K / (K + 1), because the next pair may be worse than all K with a
    probability of 1 / (K + 1) (Dunn, Wasserman and Ramdas, JASA 2023; Lee, Barber and Willett, arXiv 2306.06342).
    """
    return (pairs + 0.5) / (pairs + 1)


def check_coverage(coverage: float, pairs: int | None = None) -> None:
    """Raise `InputError` for a coverage that is not between 0 and 1, or that so few pairs cannot promise.

    Args:
        coverage: the coverage to promise.
        pairs: number of pairs, two or more; None if it is not known yet.
    """
    if not 0.0 < coverage < 1.0:
        raise InputError(f"coverage lies between 0 and 1; got {coverage}.")
    most = 1.0 if pairs is None else most_coverage(pairs)
    if coverage > most + 1e-9:
        needed = math.ceil(0.5 / (1.0 - coverage) - 1.0 - 1e-6)
        raise InputError(
            f"{pairs} pairs cannot promise a coverage of {100 * coverage:g} %, at most {math.floor(1000 * most) / 10:g}"
            f" %: calibrate on {needed} pairs or more, or lower the coverage."
        )


def pair_factor(logs: Sequence[np.ndarray], coverage: float) -> PairFactor:
    """The factor that covers a further pair on average, every pair counting alike.

    Each pair needs its own factor, whose logarithm is the quantile of its scores. These logarithms are taken for
    normally distributed, so that the one of a further pair follows Student's t distribution with K - 1 degrees of
    freedom around their mean (the prediction interval of K numbers). Around its own factor a further pair's scores are
    distributed as those of all K pairs. The result is the factor whose coverage, averaged over further pairs, is the
    one that was promised. The fewer pairs there are and the more they differ, the larger it is.

    Args:
        logs: score of each voxel, the logarithm of error over predicted error; `[voxels]` for each of two or more
            pairs.
        coverage: coverage to promise, between 0 and 1.

    Raises:
        InputError: a coverage that so few pairs cannot promise, or pairs too unlike for a finite factor.
    """
    pairs = len(logs)
    check_coverage(coverage, pairs)
    count = sum(map(len, logs))
    # The usual rank of conformal prediction, for the voxels within a pair.
    level = min(1.0, math.ceil((count + 1) * coverage - 1e-9) / count)
    own = np.array([_quantile(part, level) for part in logs])
    residuals = np.concatenate([part - value for part, value in zip(logs, own, strict=True)])
    weights = np.concatenate([np.full(len(part), 1.0 / (pairs * len(part))) for part in logs])
    order = np.argsort(residuals)
    residuals, share = residuals[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    share /= share[-1]
    variance = own.var(ddof=1)
    noise = np.mean([_squared_error(part, level) for part in logs])
    middle, deviation = own.mean(), math.sqrt(max(variance - noise, 0.0) + variance / pairs)

    def covered(factor: float, further: np.ndarray) -> np.ndarray:
        """Coverage of further pairs, which need factors of so many deviations above the middle."""
        return share[np.searchsorted(residuals, factor - middle - further * deviation, side="right")]

    further = stats.t.ppf((np.arange(FURTHER_PAIRS) + 0.5) / FURTHER_PAIRS, pairs - 1)
    low, high = middle + further[[0, -1]] * deviation + residuals[[0, -1]]
    for _ in range(50):
        between = 0.5 * (low + high)
        low, high = (low, between) if covered(between, further).mean() >= level - 1e-12 else (between, high)
    if high > math.log(np.finfo("float32").max):
        raise InputError("The errors of the pairs differ so much that no finite bound holds for a further pair.")
    lowest, highest = covered(high, stats.t.ppf([1.0 - TAIL, TAIL], pairs - 1))
    return PairFactor(math.exp(high), float(lowest), float(highest))


def _quantile(values: np.ndarray, level: float) -> float:
    """The smallest of the values below or at which a fraction `level` of them lies."""
    return float(np.quantile(values, np.clip(level - 1e-12, 0.0, 1.0), method="inverted_cdf"))


def _squared_error(values: np.ndarray, level: float) -> float:
    """Squared standard error of the quantile, from quantiles one standard error of `level` apart (Woodruff, 1952)."""
    step = math.sqrt(level * (1.0 - level) / len(values))
    return (0.5 * (_quantile(values, level + step) - _quantile(values, level - step))) ** 2
