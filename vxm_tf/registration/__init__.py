"""Registration of two images: by a network, by optimisation, or by both."""

from vxm_tf.registration.affine.estimate import register_affine
from vxm_tf.registration.align import register_images
from vxm_tf.registration.optimization.config import RefineConfig
from vxm_tf.registration.optimization.refine import Refinement, refine
from vxm_tf.registration.predict import Registration, displacement_by, register_pair
from vxm_tf.registration.result import RegistrationResult
from vxm_tf.registration.settings import RegistrationSettings

__all__ = [
    "RefineConfig",
    "Refinement",
    "Registration",
    "RegistrationResult",
    "RegistrationSettings",
    "displacement_by",
    "refine",
    "register_affine",
    "register_images",
    "register_pair",
]
