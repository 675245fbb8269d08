"""Registration networks: Keras functional models that predict; training is in `vxm_tf.training`."""

from vxm_tf.models.build import from_preset
from vxm_tf.models.legacy import Vxm2018
from vxm_tf.models.presets import PRESETS
from vxm_tf.models.registration_network import RegistrationNetwork
from vxm_tf.models.saved import input_settings, load_model
from vxm_tf.models.unet import unet
from vxm_tf.models.vxm_dense import VxmDense
from vxm_tf.models.vxm_probabilistic import VxmProbabilistic
from vxm_tf.models.vxm_pyramid import VxmPyramid

__all__ = [
    "PRESETS",
    "RegistrationNetwork",
    "Vxm2018",
    "VxmDense",
    "VxmProbabilistic",
    "VxmPyramid",
    "from_preset",
    "input_settings",
    "load_model",
    "unet",
]
