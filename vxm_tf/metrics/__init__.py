"""Measures of a finished registration on NumPy arrays without a batch axis: overlap, surfaces, deformation."""

from vxm_tf.metrics.deformation import (
    fold_fraction,
    jacobian_determinant,
    log_jacobian_std,
    non_diffeomorphic_volume,
    simplex_determinants,
)
from vxm_tf.metrics.foreground import foreground
from vxm_tf.metrics.overlap import dice, labels_in
from vxm_tf.metrics.surface import SurfaceDistance, surface_distances

__all__ = [
    "SurfaceDistance",
    "dice",
    "fold_fraction",
    "foreground",
    "jacobian_determinant",
    "labels_in",
    "log_jacobian_std",
    "non_diffeomorphic_volume",
    "simplex_determinants",
    "surface_distances",
]
