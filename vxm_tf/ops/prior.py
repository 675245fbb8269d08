"""Noise with the covariance of the Laplacian prior of a velocity."""

import math
from collections.abc import Sequence

import numpy as np
from keras import ops

from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32, spatial_shape

CORRELATION_LENGTH = 8.0
"""Default correlation length of the prior, in cells: voxels of the velocity's grid."""


def prior_noise(noise: Tensor, correlation_length: float = CORRELATION_LENGTH) -> Tensor:
    """Give white noise the prior's correlation between voxels, and keep its variance of 1 at every voxel.

    A velocity with the prior exp(-lambda/2 sum |v(x) - v(y)|^2), over all pairs of neighbours, has the covariance
    (lambda L)^-1 with the Laplacian of the grid, L = degree - adjacency, whose degrees are smaller at the borders
    (Dalca et al., MICCAI 2018, section 2.1). L has no inverse, because the prior does not penalise a shift of all
    voxels alike, but L + kappa with kappa = 1 / correlation_length^2 has one. Cosines diagonalise L, so the result is
    exact:

        noise <- S C^T (D + kappa)^-1/2 C noise,  D = sum over axes of 2 - 2 cos(pi k / n)

    with the cosine transform C and the scaling S that gives each voxel the variance 1.

    Args:
        noise: `[batch, *spatial, channels]`, independent values of mean 0 and variance 1.
        correlation_length: distance in cells beyond which correlation falls exponentially.

    Returns:
        Correlated noise `[batch, *spatial, channels]`, float32, of mean 0 and variance 1.
    """
    noise = as_float32(noise)
    sizes = spatial_shape(noise)
    bases = [_cosines(size) for size in sizes]
    spectrum = 1.0 / (_eigenvalues(sizes) + 1.0 / correlation_length**2)
    for axis, basis in enumerate(bases):
        noise = _multiplied(noise, basis, axis)
    noise = noise * ops.sqrt(spectrum)
    variance = spectrum
    for axis, basis in enumerate(bases):
        noise = _multiplied(noise, ops.transpose(basis), axis)
        variance = _multiplied(variance, ops.square(ops.transpose(basis)), axis)
    return noise / ops.sqrt(variance)


def neighbour_correlation(ndim: int, correlation_length: float = CORRELATION_LENGTH) -> float:
    """Correlation between neighbouring voxels of `prior_noise`, far from any border.

    Args:
        ndim: number of spatial axes, 1 to 3.
        correlation_length: correlation length of the noise, in cells.

    Returns:
        A correlation between 0 and 1.
    """
    waves = 2.0 * np.pi * np.arange(math.ceil(8.0 * correlation_length)) / math.ceil(8.0 * correlation_length)
    cosines = np.stack(np.meshgrid(*[np.cos(waves)] * ndim, indexing="ij"))
    spectrum = 1.0 / ((2.0 - 2.0 * cosines).sum(0) + 1.0 / correlation_length**2)
    return float((spectrum * cosines[0]).sum() / spectrum.sum())


def _cosines(size: int | Tensor) -> Tensor:
    """The orthonormal cosine transform (DCT-II), `[waves, voxels]`."""
    place = ops.cast(ops.arange(size), "float32")
    angle = (math.pi / ops.cast(size, "float32")) * place[:, None] * (place[None] + 0.5)
    scale = ops.sqrt(ops.where(place == 0.0, 1.0, 2.0) / ops.cast(size, "float32"))
    return scale[:, None] * ops.cos(angle)


def _eigenvalues(sizes: Sequence[int | Tensor]) -> Tensor:
    """Eigenvalues of the grid's Laplacian, `[1, *waves, 1]`."""
    total = 0.0
    for axis, size in enumerate(sizes):
        wave = ops.cast(ops.arange(size), "float32") * (math.pi / ops.cast(size, "float32"))
        shape = [1] * (len(sizes) + 2)
        shape[axis + 1] = -1
        total = total + ops.reshape(2.0 - 2.0 * ops.cos(wave), shape)
    return total


def _multiplied(tensor: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Apply a matrix along one spatial axis."""
    moved = ops.tensordot(tensor, matrix, axes=[[axis + 1], [1]])
    return ops.moveaxis(moved, -1, axis + 1)
