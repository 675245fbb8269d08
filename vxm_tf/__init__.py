"""Learned deformable registration of 2-D and 3-D images: VoxelMorph for TensorFlow and Keras 3.

Importing the package registers its layers and models, so that `keras.models.load_model` knows them.
"""

import os

# TensorFlow reads this once, when it is first imported. Where it leaves oneDNN off by default, 3-D
# convolutions on a CPU take up to seven times longer.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from vxm_tf import layers, losses, models, ops
from vxm_tf._version import __version__
from vxm_tf.backend import enable_fusion

__all__ = ["__version__", "layers", "losses", "models", "ops"]

enable_fusion()
