"""World space: grids in millimetres, transforms between scans, and other tools' transform files."""

from vxm_tf.spatial.grid import Grid, reoriented, reoriented_grid, same_grid
from vxm_tf.spatial.image import SpatialImage, read_spatial_image, read_spatial_labels
from vxm_tf.spatial.inversion import Inversion, invert
from vxm_tf.spatial.resampling import resample
from vxm_tf.spatial.transforms import AffineTransform, Chain, DisplacementField, Transform, dense

__all__ = [
    "AffineTransform",
    "Chain",
    "DisplacementField",
    "Grid",
    "Inversion",
    "SpatialImage",
    "Transform",
    "dense",
    "invert",
    "read_spatial_image",
    "read_spatial_labels",
    "reoriented",
    "reoriented_grid",
    "resample",
    "same_grid",
]
