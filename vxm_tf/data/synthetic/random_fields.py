"""Smooth random functions over a volume, as series of sines or cosines, and displacements made of them."""

import numpy as np
from scipy import ndimage

# Waves per axis: beyond the tenth, the finest smoothing in use leaves next to nothing.
NUM_MODES = 10

# A displacement whose derivative stays below 1 in norm everywhere is a diffeomorphism; this leaves room.
MAX_STRETCH = 0.75

# Leaves an error of some 0.01 voxel, which one more squaring would no longer halve.
_SQUARINGS = 6


def random_series(rng, shape, basis, scales):
    """Gaussian-smoothed white noise of unit root mean square, one smoothing after the other added up.

    In a series of sines or cosines the smoothing multiplies each coefficient by its Gaussian, and the
    sines vanish on the border. Only the number of axes, not their sizes, decides the coefficients.

    Args:
        rng: a NumPy generator.
        shape: sizes of the volume.
        basis: `np.sin`, or `np.cos` for a series that does not vanish on the border.
        scales: standard deviations of the smoothing, as parts of an axis; each next one is added with
            half the weight of the one before.

    Returns:
        float64 `[*shape]`.
    """
    modes = np.indices([NUM_MODES] * len(shape)) + (basis is np.sin)
    power = 0.5 ** np.count_nonzero(modes, axis=0)
    squared = (modes**2).sum(0)
    series = 0.0
    for order, scale in enumerate(scales):
        # A constant, the mode without waves, is no variation.
        part = rng.normal(size=squared.shape) * np.exp(-0.5 * (np.pi * scale) ** 2 * squared) * (squared > 0)
        series = series + 0.5**order * part / np.sqrt((power * part**2).sum())
    series /= np.sqrt((power * series**2).sum())
    for size in shape:
        waves = basis(np.pi * np.outer(modes[-1].flat[:NUM_MODES], np.linspace(0.0, 1.0, size)))
        series = np.tensordot(series, waves, axes=(0, 0))
    return series


def random_displacement(rng, shape, magnitude: float):
    """A smooth random displacement that folds nowhere.

    Args:
        rng: a NumPy generator.
        shape: 1 to 3 sizes.
        magnitude: root mean square length, in voxels; less where that would stretch or fold too much.

    Returns:
        float32 `[*shape, ndim]`, in voxels, `ij` order.
    """
    parts = [random_series(rng, shape, np.cos, scales=(0.15, 0.06)) for _ in shape]
    field = (magnitude / len(shape) ** 0.5 * np.stack(parts, axis=-1)).astype("float32")
    squares = sum(np.square(np.diff(field, axis=axis)).sum(-1).max() for axis in range(len(shape)))
    return field * np.float32(min(1.0, MAX_STRETCH / np.sqrt(squares))) if squares else field


def random_diffeomorphism(rng, shape, magnitude: float):
    """A random displacement and its inverse, zero on the border of the image and free of folds.

    Args:
        rng: a NumPy generator.
        shape: 2 or 3 sizes.
        magnitude: root mean square length of the velocity, each component as a part of its axis; less where the
            displacement would fold.

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


def _integrate(velocity):
    """exp(velocity) by scaling and squaring (Arsigny et al., MICCAI 2006), in voxels."""
    displacement = np.moveaxis(velocity, -1, 0) / 2.0**_SQUARINGS
    indices = np.indices(displacement.shape[1:], dtype="float32")
    for _ in range(_SQUARINGS):
        locations = indices + displacement
        moved = [ndimage.map_coordinates(u, locations, order=1, mode="nearest") for u in displacement]
        displacement = displacement + np.stack(moved)
    return np.ascontiguousarray(np.moveaxis(displacement, 0, -1))


def _jacobian_determinant(displacement):
    ndim = displacement.shape[-1]
    gradients = np.stack(np.gradient(displacement, axis=tuple(range(ndim))), axis=-1)
    return np.linalg.det(gradients + np.eye(ndim))


def random_affine(rng, ndim: int, *, degrees: float, scale: float, shear: float):
    """A random rotation, scaling and shearing, `[ndim, ndim]`.

    Args:
        rng: a NumPy generator.
        ndim: number of axes.
        degrees: standard deviation of the angle in each plane.
        scale: standard deviation of the logarithm of each axis' scale.
        shear: standard deviation of each shear.
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
