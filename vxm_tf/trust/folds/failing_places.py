"""The voxels at which a displacement fails its certificate, or comes close to failing."""

import itertools

import numpy as np

from vxm_tf import metrics
from vxm_tf.trust.folds.trilinear import unproven_cubes


def voxels_not_above(displacement: np.ndarray, determinant: float) -> np.ndarray:
    """Where one of the determinants that a certificate counts is not proven to be above a number.

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels.
        determinant: the number, 0 or more; with 0, there is no such voxel if and only if the certificate passes.

    Returns:
        Bool `[*spatial]`: the voxels whose tetrahedra fail, and all at the corners of a cube that fails.
    """
    return _tetrahedral(displacement, determinant) | _corners(unproven_cubes(displacement, determinant))


def failing_voxels(displacement: np.ndarray) -> np.ndarray:
    """The voxels to show as folded.

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels.

    Returns:
        Bool `[*spatial]`: the voxels whose tetrahedra fail, and the corners of a cube that fails by trilinear
        interpolation alone.
    """
    failing = _tetrahedral(displacement, 0.0)
    cubes = unproven_cubes(displacement)
    for part in _parts(cubes.shape):
        cubes &= ~failing[part]
    return failing | _corners(cubes)


def _tetrahedral(displacement: np.ndarray, determinant: float) -> np.ndarray:
    below = np.zeros(np.shape(displacement)[:-1], bool)
    for _, part, value in metrics.simplex_determinants(displacement, "float64"):
        below[part] |= ~(value > determinant)
    return below


def _corners(cubes: np.ndarray) -> np.ndarray:
    """The voxels at the corners of cubes, bool `[*(cubes + 1)]`."""
    voxels = np.zeros([size + 1 for size in cubes.shape], bool)
    for part in _parts(cubes.shape):
        voxels[part] |= cubes
    return voxels


def _parts(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """For each corner of a cube, the voxels that are this corner of one of the cubes."""
    corners = itertools.product((0, 1), repeat=len(shape))
    return [tuple(slice(step, step + size) for step, size in zip(corner, shape)) for corner in corners]
