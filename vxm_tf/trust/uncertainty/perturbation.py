"""Registrations of perturbed copies of one pair, from which the known perturbations are removed."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage

from vxm_tf import ops
from vxm_tf.data.warping import warp_array

LENGTH, SIZE = 4.0, 1.0
"""Correlation length and root mean square length of the random deformations, in voxels."""
NOISE = 0.03
"""Standard deviation of the random noise, in units of intensity."""
SQUARINGS = 5


def perturbed_displacements(
    register: Callable[[np.ndarray, np.ndarray], np.ndarray],
    moving: np.ndarray,
    fixed: np.ndarray,
    samples: int,
    seed: int = 0,
    *,
    size: float = SIZE,
) -> Iterator[np.ndarray]:
    """Registrations of deformed and noisy copies of a pair, from which the known deformations are removed.

    With random diffeomorphisms p and q, let r align moving o p with fixed o q; then p o r o q^-1 aligns moving with
    fixed. Where the images determine the alignment, it is the same each time. Where they do not, it varies with the
    deformations and the noise. This gives a spread to a network that predicts no variance, and to an optimisation.
    Source: the idea of perturb and MAP, Papandreou and Yuille, ICCV 2011, with a deformation instead of a sample from
    the prior.

    Args:
        register: function that computes the displacement `[*spatial, ndim]`, in voxels, of a moving and a fixed image,
            float32 `[*spatial, channels]`.
        moving, fixed: images `[*spatial, channels]`, normalised to [0, 1], on one grid.
        samples: number of registrations.
        seed: seed of the deformations and the noise.
        size: root mean square length of the deformations, in voxels; 0 for noise alone.

    Yields:
        The displacement of one registration after another, float32 `[*spatial, ndim]`, in voxels.
    """
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        velocities = [_smooth_velocity(rng, image.shape[:-1], size) for image in (moving, fixed)]
        there, back = _integrated(velocities[0]), _integrated(-velocities[1])
        images = [_noisy(moving, there, rng), _noisy(fixed, _integrated(velocities[1]), rng)]
        yield composed(composed(there, register(*images)), back)


def _smooth_velocity(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> np.ndarray:
    """Gaussian-smoothed noise `[*shape, ndim]`, in voxels, scaled to a root mean square length of `size`."""
    noise = [ndimage.gaussian_filter(rng.standard_normal(shape, dtype="float32"), LENGTH) for _ in shape]
    velocity = np.stack(noise, axis=-1)
    return velocity * np.float32(size / np.sqrt(np.square(velocity).sum(-1).mean()))


def _integrated(velocity: np.ndarray) -> np.ndarray:
    return np.asarray(ops.integrate(velocity[None], SQUARINGS))[0]


def composed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The displacement of `first` after `second`, `[*spatial, ndim]` in voxels, see `ops.compose`."""
    return np.asarray(ops.compose(first[None], second[None]))[0]


def _noisy(image: np.ndarray, displacement: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image, deformed and with noise added."""
    moved = warp_array(image.astype("float32"), displacement)
    return moved + NOISE * rng.standard_normal(moved.shape, dtype="float32")
