"""Keras layers: settings, and one call into `vxm_tf.ops`."""

from vxm_tf.layers.crop_like import CropLike
from vxm_tf.layers.local_correlation import LocalCorrelation
from vxm_tf.layers.pad_to_multiple import PadToMultiple
from vxm_tf.layers.resize_displacement import ResizeDisplacement
from vxm_tf.layers.spatial_transformer import SpatialTransformer
from vxm_tf.layers.vec_int import VecInt

__all__ = ["CropLike", "LocalCorrelation", "PadToMultiple", "ResizeDisplacement", "SpatialTransformer", "VecInt"]
