"""Velocities that can be integrated anew, in more steps."""

import dataclasses
import functools
from collections.abc import Callable

from keras import ops as K

from vxm_tf.registration.optimization.refine import displacement_of, network_velocity

MORE_STEPS = (2, 4)
"""How many more squarings are tried; each halves the error of the first, shortest step."""


@dataclasses.dataclass(frozen=True)
class Integral:
    """A displacement's velocity.

    Attributes:
        steps: squarings that the displacement was integrated with.
        integrate: number of squarings to (displacement, inverse displacement), each `[*spatial, ndim]` in voxels of the
            image.
    """

    steps: int
    integrate: Callable


def finer(integral):
    """(number of steps, displacement, its inverse) for each number in `MORE_STEPS`, when asked for; none of None."""
    for more in MORE_STEPS if integral else ():
        yield integral.steps + more, *integral.integrate(integral.steps + more)


def network_integral(network, moving, fixed):
    """The `Integral` of a network's answer to a pair; None of a network that integrates nothing.

    Args:
        network: a `RegistrationNetwork`.
        moving, fixed: float `[*spatial, channels]`, one shape, normalised as the network was trained.
    """
    if not network.settings["integration_steps"]:
        return None
    # Predicted when first asked for: what folds nowhere is never integrated anew.
    velocity = functools.cache(lambda: network_velocity(network, moving, fixed))

    def integrate(steps):
        fields = (network.integrated(sign * velocity(), fixed.shape[:-1], steps) for sign in (1, -1))
        return tuple(K.convert_to_numpy(field)[0] for field in fields)

    return Integral(network.settings["integration_steps"], integrate)


def pair_integral(velocity, shape, steps) -> Integral:
    """The `Integral` of what `refine` found: its velocity, the shape of the images, and its number of squarings."""

    def integrate(steps):
        return tuple(displacement_of(sign * velocity[None], shape, steps) for sign in (1, -1))

    return Integral(steps, integrate)
