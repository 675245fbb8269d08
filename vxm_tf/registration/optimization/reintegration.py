"""Velocities that can be integrated again, in more steps."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from keras import ops as K

from vxm_tf.models import RegistrationNetwork
from vxm_tf.registration.optimization.refine import displacement_of, network_velocity

MORE_STEPS = (2, 4)
"""Numbers of additional squarings to try; each one halves the first step, and so its error."""


@dataclasses.dataclass(frozen=True)
class Integral:
    """Displacement as the integral of a velocity.

    Attributes:
        steps: number of squarings with which the displacement was integrated.
        integrate: computes displacement and inverse displacement, each `[*spatial, ndim]` in voxels of the image, for a
            number of squarings.
    """

    steps: int
    integrate: Callable[[int], tuple[np.ndarray, np.ndarray]]


def finer(integral: Integral | None) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (steps, displacement, inverse) for each of `MORE_STEPS`, lazily; nothing if `integral` is None."""
    if integral is None:
        return
    for more in MORE_STEPS:
        displacement, inverse = integral.integrate(integral.steps + more)
        yield integral.steps + more, displacement, inverse


def network_integral(network: RegistrationNetwork, moving: np.ndarray, fixed: np.ndarray) -> Integral | None:
    """The `Integral` of a network's prediction for a pair; None for a network that integrates nothing.

    Args:
        network: a `RegistrationNetwork`.
        moving, fixed: images, float `[*spatial, channels]`, of one shape, normalised as the network was trained.
    """
    if not network.settings["integration_steps"]:
        return None
    # Predicted at the first use, since a displacement that folds nowhere is never integrated again.
    velocity = functools.cache(lambda: network_velocity(network, moving, fixed))

    def integrate(steps: int) -> tuple[np.ndarray, np.ndarray]:
        there, back = (network.integrated(sign * velocity(), fixed.shape[:-1], steps) for sign in (1, -1))
        return K.convert_to_numpy(there)[0], K.convert_to_numpy(back)[0]

    return Integral(network.settings["integration_steps"], integrate)


def pair_integral(velocity: np.ndarray, shape: Sequence[int], steps: int) -> Integral:
    """The `Integral` of an optimised pair.

    Args:
        velocity: velocity of the `Refinement`.
        shape: spatial shape of the images.
        steps: number of squarings with which the velocity was integrated.
    """

    def integrate(steps: int) -> tuple[np.ndarray, np.ndarray]:
        return displacement_of(velocity[None], shape, steps), displacement_of(-velocity[None], shape, steps)

    return Integral(steps, integrate)
