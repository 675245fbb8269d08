"""A network by the name of its preset."""

from vxm_tf.models.presets import DENSE
from vxm_tf.models.registration_network import RegistrationNetwork
from vxm_tf.models.vxm_dense import VxmDense
from vxm_tf.models.vxm_pyramid import VxmPyramid


def from_preset(name: str, image_shape, **overrides) -> RegistrationNetwork:
    """The `VxmDense` or `VxmPyramid` of that preset.

    Args:
        name: a key of `PRESETS`.
        image_shape: spatial shape.
        overrides: constructor arguments that come before the preset's.

    Raises:
        ValueError: unknown name.

    Example:

    >>> from vxm_tf import models
    >>> type(models.from_preset("small", (16, 16))).__name__
    'VxmPyramid'
    """
    network = VxmDense if name in DENSE else VxmPyramid
    return network.from_preset(name, image_shape, **overrides)
