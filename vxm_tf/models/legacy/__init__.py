"""Networks and weight files of VoxelMorph's earlier versions."""

from vxm_tf.models.legacy.legacy_file import LegacyFileError
from vxm_tf.models.legacy.load import load_legacy
from vxm_tf.models.legacy.vxm_2018 import Vxm2018

__all__ = ["LegacyFileError", "Vxm2018", "load_legacy"]
