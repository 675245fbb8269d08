"""Measures of a registration on NumPy arrays without a batch axis: overlap, surfaces, deformation, correlation."""

from vxm_tf.metrics.correlation import correlation, local_correlation
from vxm_tf.metrics.deformation import (
    fold_fraction,
    jacobian_determinant,
    log_jacobian_std,
    non_diffeomorphic_volume,
    simplex_determinants,
)
from vxm_tf.metrics.dice import dice, labels_in
from vxm_tf.metrics.foreground import foreground
from vxm_tf.metrics.surface import SurfaceDistance, surface_distances

__all__ = [
    "SurfaceDistance",
    "correlation",
    "dice",
    "fold_fraction",
    "foreground",
    "jacobian_determinant",
    "labels_in",
    "local_correlation",
    "log_jacobian_std",
    "non_diffeomorphic_volume",
    "simplex_determinants",
    "surface_distances",
]
