"""Local correlation of two scans under an affine transform, with its derivatives.

Around each point, the values of one scan are fitted by a linear function of the other scan's values: the squared
correlation is the part of the variance that this fit explains. A neighbourhood counts by the logarithm of it, so that
all neighbourhoods are aligned as well as one transform can align them. Mutual information of whole images, and the mean
of the correlation too, rise most where the fit is already nearly perfect: they align a stiff part, such as the wall of
a chest, exactly, and leave the part that changed its size, the lung, where it is.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from vxm_tf.registration.affine.scan import Lattice, channel_pairs

# Width of the neighbourhood, in voxels of the lattice.
WINDOW = 5
# Variance of values from 0 to 1 below which a neighbourhood counts as flat: it is noise rather than anatomy.
FLAT = 1e-4
# Squared correlation that neighbourhoods without a common structure reach by chance.
CHANCE = 0.02
# Width of the Gaussian that scans are smoothed with, in voxels: interpolation of sharp noise between voxels smooths it,
# which would draw an ascent to transforms that map voxels between voxels.
SMOOTHING = 0.5
# Factor by which a learnt contrast has to correlate better than the scan's own to be used: phantoms and brains of one
# contrast gain at most 1.05 by it, inverted ones 1.14 to 1.29.
CLEARLY = 1.1
# Number of intensities for which the mean intensity of the other scan is learnt.
LEVELS = 32


@dataclasses.dataclass(frozen=True)
class Terms:
    """The measure and its derivatives with respect to the first `ndim` rows of a transform, row by row.

    Attributes:
        score: sum of log(1 + squared correlation / `CHANCE`) over the points, divided by their number.
        gradient: `[ndim * (ndim + 1)]`, None where it was not asked for.
        curvature: Gauss-Newton approximation of the negative second derivative, `[ndim * (ndim + 1)] * 2`, or None.
    """

    score: float
    gradient: np.ndarray | None = None
    curvature: np.ndarray | None = None


class LocalCorrelation:
    """Local correlation of two lattices, averaged over both directions and over the channels.

    Points outside the other lattice, or outside its mask, count as uncorrelated. If the intensities of one scan are
    no linear function of the other's, as in T1 and T2, they are replaced by the mean intensity of the other scan that
    they meet under `matrix`, provided that this clearly raises the correlation.

    Args:
        moving: lattice of the moving scan.
        fixed: lattice of the fixed scan.
        matrix: transform `[ndim + 1, ndim + 1]` from the fixed to the moving frame that roughly aligns them.
    """

    def __init__(self, moving: Lattice, fixed: Lattice, matrix: np.ndarray) -> None:
        moving, fixed = _smoothed(moving), _smoothed(fixed)
        self.moving, self.fixed, self.channels = moving, fixed, channel_pairs(moving, fixed)
        swapped = [(second, first) for first, second in self.channels]
        # One number for both directions: if each had the number of its own points, the direction with the tighter field
        # of view would count more, and its bias towards enlarging or shrinking would not cancel.
        count = len(self.channels) * max(fixed.points().shape[1], 1)
        self.there = _Direction(fixed, moving, matrix, swapped, count)
        self.back = _Direction(moving, fixed, np.linalg.inv(matrix), self.channels, count)

    def __call__(self, matrix: np.ndarray) -> float:
        """The measure under a transform `[ndim + 1, ndim + 1]` from the fixed to the moving frame; higher is better."""
        return sum(terms.score for terms in self.terms(matrix, derivatives=False)) / 2

    def terms(self, matrix: np.ndarray, derivatives: bool = True) -> tuple[Terms, Terms]:
        """Terms of the fixed points under a transform, and of the moving points under its inverse."""
        return self.there(matrix, derivatives), self.back(np.linalg.inv(matrix), derivatives)


def _smoothed(lattice: Lattice) -> Lattice:
    width = (0, *[SMOOTHING] * len(lattice.shape))
    return dataclasses.replace(lattice, values=ndimage.gaussian_filter(lattice.values, width, truncate=3))


class _Direction:
    """Local correlation at the points of one lattice, `target`, that a transform takes into another, `source`.

    Args:
        target: lattice whose points are compared.
        source: lattice that is sampled.
        matrix: transform from the target's to the source's frame that roughly aligns them.
        channels: channels to compare, (target, source).
        count: number by which sums are divided.
    """

    def __init__(
        self, target: Lattice, source: Lattice, matrix: np.ndarray, channels: list[tuple[int, int]], count: int
    ) -> None:
        self.target, self.source, self.channels, self.count = target, source, channels, count
        compared, indices = self._met(matrix)
        self.sampled = []
        for first, second in channels:
            values, partner = source.values[second], target.values[first]
            translated = _translated(values, _at(values, indices), partner[compared])
            own, learnt = (
                _Correlation(partner, _placed(_at(choice, indices), compared), compared).total()
                for choice in (values, translated)
            )
            chosen = translated if learnt > CLEARLY * own else values
            self.sampled.append((chosen, np.gradient(chosen, source.spacing_mm)))

    def __call__(self, matrix: np.ndarray, derivatives: bool) -> Terms:
        """The measure under a transform; derivatives are with respect to the same transform."""
        compared, indices = self._met(matrix)
        ndim = len(indices)
        positions = self._positions(compared)
        score, gradient, curvature = 0.0, np.zeros(ndim * (ndim + 1)), np.zeros((ndim * (ndim + 1),) * 2)
        for (first, _), (values, slopes) in zip(self.channels, self.sampled):
            placed = _placed(_at(values, indices), compared)
            correlation = _Correlation(self.target.values[first], placed, compared)
            score += correlation.total()
            if derivatives:
                along = [_at(slope, indices) for slope in slopes]
                steepness, weight = correlation.derivatives()
                gradient += _per_parameter(along, positions) @ steepness
                # The part of a change that is constant in a neighbourhood alters no correlation.
                change = _per_parameter([correlation.centred(slope) for slope in along], positions)
                curvature += (change * weight) @ change.T
        if not derivatives:
            return Terms(score / self.count)
        return Terms(score / self.count, gradient / self.count, curvature / self.count)

    def _met(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(bool `[*spatial]` of the target's points that meet the source, their indices there `[ndim, points]`)."""
        compared = np.ones(self.target.shape, bool) if self.target.mask is None else self.target.mask.copy()
        points = matrix[:-1] @ self._positions(compared)
        indices = (points - self.source.origin_mm[:, None]) / self.source.spacing_mm
        inside = np.all((indices >= 0) & (indices <= np.array(self.source.shape)[:, None] - 1), axis=0)
        if self.source.mask is not None:
            inside[inside] = self.source.mask[tuple(np.rint(indices[:, inside]).astype(int))]
        compared[compared] = inside
        return compared, indices[:, inside].astype("float32")

    def _positions(self, compared: np.ndarray) -> np.ndarray:
        """Homogeneous coordinates of the target's chosen points in its frame, float32 `[ndim + 1, points]`."""
        points = np.array(np.nonzero(compared), "float32") * self.target.spacing_mm
        points += self.target.origin_mm[:, None].astype("float32")
        return np.concatenate([points, np.ones_like(points[:1])]).astype("float32")


def _per_parameter(slopes: list[np.ndarray], positions: np.ndarray) -> np.ndarray:
    """Change of each point's value per entry of a transform, `[ndim * (ndim + 1), points]`."""
    return (np.stack(slopes)[:, None] * positions[None]).reshape(len(slopes) * len(positions), positions.shape[1])


def _translated(values: np.ndarray, met: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """Values from 0 to 1, each replaced by the mean of the partners that it meets, stretched to [0, 1] again."""
    levels = np.rint(met * (LEVELS - 1)).astype(int)
    counts = np.bincount(levels, minlength=LEVELS)
    means = np.bincount(levels, partners, LEVELS) / np.maximum(counts, 1)
    used = counts > 0
    if not used.any():
        return values
    translated = np.interp(values, np.linspace(0, 1, LEVELS)[used], means[used])
    return ((translated - translated.min()) / max(float(np.ptp(translated)), 1e-12)).astype("float32")


def _placed(values: np.ndarray, compared: np.ndarray) -> np.ndarray:
    """Values at the points where `compared` is true, and zeros elsewhere, float32 `[*spatial]`."""
    placed = np.zeros(compared.shape, "float32")
    placed[compared] = values
    return placed


def _at(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(values, indices, order=1, mode="nearest", prefilter=False)


class _Correlation:
    """Sums over the neighbourhoods of two images `[*spatial]`, of the voxels where `compared` is true."""

    def __init__(self, first: np.ndarray, second: np.ndarray, compared: np.ndarray) -> None:
        self.compared, weight = compared, compared.astype("float32")
        self.share = np.maximum(_mean(weight), 1e-6)
        self.first, self.second = first * weight, second * weight
        self.first_mean, self.second_mean = _mean(self.first) / self.share, _mean(self.second) / self.share
        self.first_variance = _mean(self.first**2) / self.share - self.first_mean**2
        second_variance = _mean(self.second**2) / self.share - self.second_mean**2
        covariance = _mean(self.first * self.second) / self.share - self.first_mean * self.second_mean
        self.first_variance = np.maximum(self.first_variance, 0) + FLAT
        self.slope = covariance / (np.maximum(second_variance, 0) + FLAT)
        self.squared = covariance * self.slope / self.first_variance

    def total(self) -> float:
        """Sum over all neighbourhoods."""
        return float(np.log1p(self.squared[self.compared] / CHANCE).sum(dtype="float64"))

    def centred(self, values: np.ndarray) -> np.ndarray:
        """Values at the compared points, minus their mean over the neighbourhood."""
        return values - (_mean(_placed(values, self.compared)) / self.share)[self.compared]

    def derivatives(self) -> tuple[np.ndarray, np.ndarray]:
        """(first derivative of the sum, curvature) with respect to the second image's compared values."""
        weight = 1 / (CHANCE + self.squared) / self.first_variance / self.share
        covariance = np.where(self.compared, weight * self.slope, 0)
        variance = covariance * self.slope
        per_variance = _mean(variance)
        first = self.first * _mean(covariance) - _mean(covariance * self.first_mean)
        second = self.second * per_variance - _mean(variance * self.second_mean)
        # Where hardly anything is alike, the correlation is chance and has no maximum nearby.
        curvature = _mean(variance * self.squared)
        return 2 * (first - second)[self.compared], 2 * curvature[self.compared]


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the neighbourhood of each voxel; beyond the border lie zeros."""
    return ndimage.uniform_filter(values, WINDOW, mode="constant")
