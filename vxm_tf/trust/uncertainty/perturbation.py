"""Many registrations of one pair, each of images that were changed a little in a known way."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage

from vxm_tf import ops
from vxm_tf.data.warping import warp_array

LENGTH, SIZE, NOISE = 4.0, 1.0, 0.03
"""Of the deformations: correlation length and root mean square, in voxels; of the noise, in units of intensity."""
SQUARINGS = 5


def perturbed_displacements(
    register: Callable, moving, fixed, samples: int, seed: int = 0, *, size: float = SIZE
) -> Iterator[np.ndarray]:
    """Registrations of a pair whose images are deformed and made noisy, with the known deformations taken out again.

    With random diffeomorphisms p and q, let r align moving o p with fixed o q; then p o r o q^-1 aligns moving with
    fixed. Where the images say where things lie it is the same each time. Where they do not, it follows the
    deformations and the noise. So a network that predicts no variance has one, and so has an optimisation. Source: the
    idea of perturb and MAP, Papandreou and Yuille, ICCV 2011, with a deformation in the place of the prior's sample.

    Args:
        register: (moving, fixed), float32 `[*spatial, channels]`, to the displacement `[*spatial, ndim]` in voxels.
        moving, fixed: the images, normalised to [0, 1], on one grid.
        samples: how many.
        seed: of everything random.
        size: root mean square of the deformations, in voxels; 0 for noise alone.

    Yields:
        The displacement of one registration after another, float32 `[*spatial, ndim]`, in voxels.
    """
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        velocities = [_smooth_velocity(rng, image.shape[:-1], size) for image in (moving, fixed)]
        there, back = _integrated(velocities[0]), _integrated(-velocities[1])
        images = [_noisy(moving, there, rng), _noisy(fixed, _integrated(velocities[1]), rng)]
        yield composed(composed(there, register(*images)), back)


def _smooth_velocity(rng, shape, size):
    """Gaussian-smoothed noise, in voxels."""
    noise = [ndimage.gaussian_filter(rng.standard_normal(shape, dtype="float32"), LENGTH) for _ in shape]
    velocity = np.stack(noise, axis=-1)
    return velocity * np.float32(size / np.sqrt(np.square(velocity).sum(-1).mean()))


def _integrated(velocity):
    return np.asarray(ops.integrate(velocity[None], SQUARINGS))[0]


def composed(first, second):
    """The displacement `first` after `second`, `[*spatial, ndim]` in voxels, see `ops.compose`."""
    return np.asarray(ops.compose(first[None], second[None]))[0]


def _noisy(image, displacement, rng):
    moved = warp_array(image.astype("float32"), displacement)
    return moved + NOISE * rng.standard_normal(moved.shape, dtype="float32")
