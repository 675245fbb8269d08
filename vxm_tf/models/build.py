"""Building a network by the name of its preset."""

from typing import Any

from vxm_tf.models.presets import DENSE, PYRAMIDS
from vxm_tf.models.registration_network import RegistrationNetwork
from vxm_tf.models.vxm_dense import VxmDense
from vxm_tf.models.vxm_probabilistic import VxmProbabilistic
from vxm_tf.models.vxm_pyramid import VxmPyramid
from vxm_tf.ops.tensors import Shape


def from_preset(name: str, image_shape: Shape, *, probabilistic: bool = False, **overrides: Any) -> RegistrationNetwork:
    """An untrained `VxmDense`, `VxmPyramid` or `VxmProbabilistic` with the settings of a preset.

    Args:
        name: a key of `PRESETS`.
        image_shape: spatial shape; None for a size that may change from call to call.
        probabilistic: build a `VxmProbabilistic`, which predicts its uncertainty, from a preset of `VxmPyramid`.
        overrides: constructor arguments that replace those of the preset.

    Raises:
        ValueError: unknown name, or a preset of `VxmDense` for a probabilistic network.

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
