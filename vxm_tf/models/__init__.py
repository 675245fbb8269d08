"""Registration networks: Keras functional models, inference only."""

from vxm_tf.models.presets import PRESETS
from vxm_tf.models.unet import unet
from vxm_tf.models.vxm_dense import VxmDense

__all__ = ["PRESETS", "VxmDense", "unet"]
