"""Squared local correlation of two scans under an affine transform, with its derivatives.

Around each point, the values of one scan are fitted by a linear function of the other scan's values: the squared
correlation is the part of the variance that this fit explains. It is 1 for images that differ by brightness and
contrast in the neighbourhood, and the sign of the contrast has no effect. Unlike mutual information of whole images, it
is as sensitive to vessels in a lung as to the lung's edge.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from vxm_tf.registration.affine.scan import Lattice, channel_pairs

# Width of the neighbourhood, in voxels of the lattice.
WINDOW = 5
# Variance of values from 0 to 1 below which a neighbourhood counts as flat: it is noise rather than anatomy.
FLAT = 1e-4


@dataclasses.dataclass(frozen=True)
class Terms:
    """The measure and its derivatives with respect to the first `ndim` rows of a transform, row by row.

    Attributes:
        score: mean squared local correlation, 0 to 1.
        gradient: `[ndim * (ndim + 1)]`, None where it was not asked for.
        curvature: Gauss-Newton approximation of the negative second derivative, `[ndim * (ndim + 1)] * 2`, or None.
    """

    score: float
    gradient: np.ndarray | None = None
    curvature: np.ndarray | None = None


class LocalCorrelation:
    """Squared local correlation of two lattices, averaged over both directions and over the channels.

    Points outside the other lattice, or outside its mask, count as uncorrelated.

    Args:
        moving: lattice of the moving scan.
        fixed: lattice of the fixed scan.
    """

    def __init__(self, moving: Lattice, fixed: Lattice) -> None:
        self.moving, self.fixed = _Sampled(moving), _Sampled(fixed)
        self.channels = channel_pairs(moving, fixed)

    def __call__(self, matrix: np.ndarray) -> float:
        """The measure under a transform `[ndim + 1, ndim + 1]` from the fixed to the moving frame; higher is better."""
        return (self.forward(matrix, False).score + self.backward(matrix, False).score) / 2

    def forward(self, matrix: np.ndarray, derivatives: bool = True) -> Terms:
        """Terms of the fixed points under a transform from the fixed to the moving frame."""
        return _terms(
            self.fixed, self.moving, matrix, [(second, first) for first, second in self.channels], derivatives
        )

    def backward(self, matrix: np.ndarray, derivatives: bool = True) -> Terms:
        """Terms of the moving points under the inverse; derivatives are with respect to the inverse."""
        return _terms(self.moving, self.fixed, np.linalg.inv(matrix), self.channels, derivatives)


class _Sampled:
    """A lattice with the gradient of its values."""

    def __init__(self, lattice: Lattice) -> None:
        self.values, self.origin_mm, self.spacing_mm = lattice.values, lattice.origin_mm, lattice.spacing_mm
        self.shape = lattice.shape
        self.mask = np.ones(self.shape, bool) if lattice.mask is None else lattice.mask
        self.gradients = [np.gradient(channel, lattice.spacing_mm) for channel in lattice.values]

    def positions_mm(self) -> list[np.ndarray]:
        """Positions along each axis in the frame, in millimetres, each of a shape that broadcasts to the lattice's."""
        ndim = len(self.shape)
        return [
            (self.origin_mm[k] + self.spacing_mm * np.arange(self.shape[k], dtype="float32")).reshape(
                [-1 if axis == k else 1 for axis in range(ndim)]
            )
            for k in range(ndim)
        ]

    def radius_mm(self, pivot: np.ndarray) -> float:
        """Root mean square distance of the compared points from a point `[ndim]` in the frame."""
        squares = sum((axis - centre) ** 2 for axis, centre in zip(self.positions_mm(), pivot))
        return float(np.sqrt(np.mean(np.broadcast_to(squares, self.shape)[self.mask])))

    def indices(self, points_mm: np.ndarray) -> np.ndarray:
        """Indices `[ndim, points]` of points in the frame."""
        return (points_mm - self.origin_mm[:, None]) / self.spacing_mm


def _terms(
    target: _Sampled, source: _Sampled, matrix: np.ndarray, channels: list[tuple[int, int]], derivatives: bool
) -> Terms:
    """Terms of the target's points, which a matrix maps into the source; `channels` are pairs (target, source)."""
    ndim = len(target.shape)
    positions = np.stack([np.broadcast_to(axis, target.shape)[target.mask] for axis in target.positions_mm()])
    indices = source.indices(matrix[:-1, :-1] @ positions + matrix[:-1, -1:])
    inside = np.all((indices >= 0) & (indices <= np.array(source.shape)[:, None] - 1), axis=0)
    inside[inside] = source.mask[tuple(np.rint(indices[:, inside]).astype(int))]
    compared = np.zeros(target.shape, bool)
    compared[target.mask] = inside
    positions, indices = positions[:, inside], indices[:, inside].astype("float32")
    score, gradient, curvature = 0.0, np.zeros(ndim * (ndim + 1)), np.zeros((ndim * (ndim + 1),) * 2)
    for first, second in channels:
        values = np.zeros(target.shape, "float32")
        values[compared] = _at(source.values[second], indices)
        correlation = _Correlation(target.values[first], values, compared)
        score += correlation.total()
        if derivatives:
            slopes = np.stack([_at(axis, indices) for axis in source.gradients[second]])
            change = slopes[:, None] * np.concatenate([positions, np.ones_like(positions[:1])])[None]
            change = change.reshape(-1, positions.shape[1]).astype("float32")
            steepness, weight = correlation.derivatives()
            gradient += change @ steepness
            curvature += (change * weight) @ change.T
    count = len(channels) * max(np.count_nonzero(target.mask), 1)
    return Terms(score / count, gradient / count, curvature / count) if derivatives else Terms(score / count)


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
        """Sum of the squared correlations of all neighbourhoods."""
        return float(self.squared[self.compared].sum(dtype="float64"))

    def derivatives(self) -> tuple[np.ndarray, np.ndarray]:
        """(first derivative of the sum, curvature) with respect to the second image's compared values."""
        covariance = np.where(self.compared, self.slope / self.first_variance / self.share, 0)
        variance = covariance * self.slope
        per_variance = _mean(variance)
        first = self.first * _mean(covariance) - _mean(covariance * self.first_mean)
        second = self.second * per_variance - _mean(variance * self.second_mean)
        return 2 * (first - second)[self.compared], 2 * per_variance[self.compared]


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the neighbourhood of each voxel; beyond the border lie zeros."""
    return ndimage.uniform_filter(values, WINDOW, mode="constant")
