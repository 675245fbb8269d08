"""A network by the name of its preset."""

from vxm_tf.models.presets import DENSE, PYRAMIDS
from vxm_tf.models.registration_network import RegistrationNetwork
from vxm_tf.models.vxm_dense import VxmDense
from vxm_tf.models.vxm_probabilistic import VxmProbabilistic
from vxm_tf.models.vxm_pyramid import VxmPyramid


def from_preset(name: str, image_shape, *, probabilistic: bool = False, **overrides) -> RegistrationNetwork:
    """The `VxmDense` or `VxmPyramid` of that preset, or the `VxmProbabilistic` of a `VxmPyramid`'s.

    Args:
        name: a key of `PRESETS`.
        image_shape: spatial shape.
        probabilistic: whether the network says how sure it is.
        overrides: constructor arguments that come before the preset's.

    Raises:
        ValueError: unknown name, or one of a `VxmDense` for a network that says how sure it is.

    Example:

    >>> from vxm_tf import models
    >>> type(models.from_preset("small", (16, 16))).__name__
    'VxmPyramid'
    """
    if probabilistic and name in DENSE:
        raise ValueError(f"A probabilistic network has one of the presets {', '.join(PYRAMIDS)}; got {name!r}.")
    pyramid = VxmProbabilistic if probabilistic else VxmPyramid
    network = VxmDense if name in DENSE else pyramid
    return network.from_preset(name, image_shape, **overrides)
