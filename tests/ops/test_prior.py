"""Noise with the prior's covariance, against the inverse of the Laplacian as a matrix."""

import numpy as np
import pytest

from vxm_tf import ops


def laplacian(shape):
    """Degree minus adjacency of the grid, `[voxels, voxels]`."""
    numbers = np.arange(np.prod(shape)).reshape(shape)
    matrix = np.zeros((numbers.size, numbers.size))
    for axis in range(len(shape)):
        ahead = np.take(numbers, range(1, shape[axis]), axis).ravel()
        here = np.take(numbers, range(shape[axis] - 1), axis).ravel()
        for one, other in ((here, ahead), (ahead, here)):
            matrix[one, other] -= 1.0
            matrix[one, one] += 1.0
    return matrix


@pytest.mark.parametrize("shape", [(7,), (4, 5), (3, 4, 2)])
@pytest.mark.parametrize("length", [1.5, 8.0])
def test_the_covariance_is_the_prior_s_with_unit_variance(shape, length):
    voxels = int(np.prod(shape))
    units = np.eye(voxels, dtype="float32").reshape(voxels, *shape, 1)
    mixing = np.asarray(ops.prior_noise(units, length)).reshape(voxels, voxels)
    expected = np.linalg.inv(laplacian(shape) + np.eye(voxels) / length**2)
    deviation = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(mixing.T @ mixing, expected / np.outer(deviation, deviation), atol=2e-5)


def test_channels_stay_apart(rng):
    noise = rng.standard_normal((2, 6, 7, 2), dtype="float32")
    together = np.asarray(ops.prior_noise(noise))
    np.testing.assert_allclose(together[..., 1:], ops.prior_noise(noise[..., 1:]), atol=1e-6)


@pytest.mark.parametrize("ndim, size", [(1, 200), (2, 50), (3, 13)])
def test_neighbours_correlate_as_said(ndim, size):
    shape, centre = (size,) * ndim, (size // 2,) * ndim
    covariance = np.linalg.inv(laplacian(shape) + np.eye(size**ndim) / 2.0**2)
    one, other = (np.ravel_multi_index(place, shape) for place in (centre, (centre[0] + 1, *centre[1:])))
    expected = covariance[one, other] / np.sqrt(covariance[one, one] * covariance[other, other])
    np.testing.assert_allclose(ops.neighbour_correlation(ndim, 2.0), expected, atol=0.003)
