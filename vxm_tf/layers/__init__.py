"""Keras layers; each holds settings and makes one call into `vxm_tf.ops`."""

from vxm_tf.layers.alignment_force import AlignmentForce
from vxm_tf.layers.crop_like import CropLike
from vxm_tf.layers.descent_step import DescentStep
from vxm_tf.layers.edge_strength import EdgeStrength
from vxm_tf.layers.pad_to_multiple import PadToMultiple
from vxm_tf.layers.resize_displacement import ResizeDisplacement
from vxm_tf.layers.spatial_transformer import SpatialTransformer
from vxm_tf.layers.vec_int import VecInt

__all__ = [
    "AlignmentForce",
    "CropLike",
    "DescentStep",
    "EdgeStrength",
    "PadToMultiple",
    "ResizeDisplacement",
    "SpatialTransformer",
    "VecInt",
]
