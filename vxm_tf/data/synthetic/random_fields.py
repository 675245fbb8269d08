"""Smooth random functions over a volume, as series of sines or cosines, and displacements made of them."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

# Number of waves along each axis; the finest smoothing in use almost removes the waves beyond the tenth.
NUM_MODES = 10

# A displacement whose derivative has a norm below 1 everywhere is a diffeomorphism; the rest is a margin.
MAX_STRETCH = 0.75

# The error is about 0.01 voxel, which one more squaring would not halve.
_SQUARINGS = 6


def random_series(
    rng: np.random.Generator,
    shape: Sequence[int],
    basis: Callable[[np.ndarray], np.ndarray],
    scales: Sequence[float],
) -> np.ndarray:
    """A sum of Gaussian-smoothed white noises, one for each scale, with a root mean square of 1.

    In a series of sines or cosines, smoothing multiplies each coefficient by a Gaussian of its frequency. The
    coefficients depend on the number of axes, not on their sizes.

    Args:
        rng: a NumPy generator.
        shape: sizes of the volume.
        basis: `np.sin` for a series that vanishes on the border of the volume, else `np.cos`.
        scales: standard deviations of the smoothing, as fractions of an axis; each noise has half the
            weight of the one before.

    Returns:
        float64 `[*shape]`.
    """
    modes = np.indices([NUM_MODES] * len(shape)) + (basis is np.sin)
    power = 0.5 ** np.count_nonzero(modes, axis=0)
    squared = (modes**2).sum(0)
    series = np.zeros(squared.shape)
    for order, scale in enumerate(scales):
        # The mode without waves is a constant and adds no variation.
        part = rng.normal(size=squared.shape) * np.exp(-0.5 * (np.pi * scale) ** 2 * squared) * (squared > 0)
        series = series + 0.5**order * part / np.sqrt((power * part**2).sum())
    series /= np.sqrt((power * series**2).sum())
    for size in shape:
        waves = basis(np.pi * np.outer(modes[-1].flat[:NUM_MODES], np.linspace(0.0, 1.0, size)))
        series = np.tensordot(series, waves, axes=(0, 0))
    return series


def random_displacement(rng: np.random.Generator, shape: Sequence[int], magnitude: float) -> np.ndarray:
    """A smooth random displacement that folds nowhere.

    Args:
        rng: a NumPy generator.
        shape: 1 to 3 sizes.
        magnitude: root mean square length, in voxels; it is reduced where the field would stretch too much or fold.

    Returns:
        float32 `[*shape, ndim]`, in voxels, `ij` order.
    """
    parts = [random_series(rng, shape, np.cos, scales=(0.15, 0.06)) for _ in shape]
    field = (magnitude / len(shape) ** 0.5 * np.stack(parts, axis=-1)).astype("float32")
    squares = sum(np.square(np.diff(field, axis=axis)).sum(-1).max() for axis in range(len(shape)))
    return field * np.float32(min(1.0, MAX_STRETCH / np.sqrt(squares))) if squares else field


def random_diffeomorphism(
    rng: np.random.Generator, shape: Sequence[int], magnitude: float
) -> tuple[np.ndarray, np.ndarray]:
    """A random displacement and its inverse, zero on the border of the image and free of folds.

    Args:
        rng: a NumPy generator.
        shape: 2 or 3 sizes.
        magnitude: root mean square length of the velocity, each component as a fraction of its axis; it is reduced
            where the displacement would fold.

    Returns:
        Two float32 arrays `[*shape, ndim]`, in voxels, `ij` order.
    """
    noise = np.stack([random_series(rng, shape, np.sin, scales=(0.15, 0.06)) for _ in shape], axis=-1)
    velocity = (magnitude / len(shape) ** 0.5 * (np.array(shape) - 1) * noise).astype("float32")
    while True:
        pair = _integrate(velocity), _integrate(-velocity)
        if all(_jacobian_determinant(u).min() > 0.05 for u in pair):
            return pair
        velocity *= 0.8


def _integrate(velocity: np.ndarray) -> np.ndarray:
    """The displacement exp(velocity) by scaling and squaring (Arsigny et al., MICCAI 2006), in voxels."""
    displacement = np.moveaxis(velocity, -1, 0) / 2.0**_SQUARINGS
    indices = np.indices(displacement.shape[1:], dtype="float32")
    for _ in range(_SQUARINGS):
        locations = indices + displacement
        moved = [ndimage.map_coordinates(u, locations, order=1, mode="nearest") for u in displacement]
        displacement = displacement + np.stack(moved)
    return np.ascontiguousarray(np.moveaxis(displacement, 0, -1))


def _jacobian_determinant(displacement: np.ndarray) -> np.ndarray:
    ndim = displacement.shape[-1]
    gradients = np.stack(np.gradient(displacement, axis=tuple(range(ndim))), axis=-1)
    return np.linalg.det(gradients + np.eye(ndim))


def random_affine(rng: np.random.Generator, ndim: int, *, degrees: float, scale: float, shear: float) -> np.ndarray:
    """The matrix `[ndim, ndim]` of a random rotation, scaling and shearing.

    Args:
        rng: a NumPy generator.
        ndim: number of axes.
        degrees: standard deviation of the angle in each plane, in degrees.
        scale: standard deviation of the logarithm of each axis' scale.
        shear: standard deviation of each shear, without unit.
    """
    matrix = np.diag(np.exp(rng.normal(0.0, scale, ndim)))
    for i in range(ndim):
        for j in range(i + 1, ndim):
            angle = np.deg2rad(rng.normal(0.0, degrees))
            turn, slant = np.eye(ndim), np.eye(ndim)
            turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
            slant[i, j] = rng.normal(0.0, shear)
            matrix = turn @ slant @ matrix
    return matrix
