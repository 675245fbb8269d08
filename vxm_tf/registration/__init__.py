"""Registering one pair: in arrays, in files as they come, by a network, by optimisation, or both."""

from vxm_tf.registration.affine import register_affine
from vxm_tf.registration.align import register_images
from vxm_tf.registration.calibration import Calibration, calibrate
from vxm_tf.registration.certificate import Certificate, certify
from vxm_tf.registration.config import RegisterConfig
from vxm_tf.registration.files import register_files
from vxm_tf.registration.fold_repair import Repair, repair
from vxm_tf.registration.gate import Verdict, judge
from vxm_tf.registration.model_file import input_settings, load_model
from vxm_tf.registration.native import NativeRegistration
from vxm_tf.registration.pair import Registration, displacement_by, register_pair, warp_array, warp_labels
from vxm_tf.registration.pair_uncertainty import pair_uncertainty
from vxm_tf.registration.refinement import RefineConfig, Refinement, refine
from vxm_tf.registration.uncertainty import Uncertainty

__all__ = [
    "Calibration",
    "Certificate",
    "NativeRegistration",
    "RefineConfig",
    "Refinement",
    "RegisterConfig",
    "Registration",
    "Repair",
    "Uncertainty",
    "calibrate",
    "Verdict",
    "certify",
    "displacement_by",
    "input_settings",
    "judge",
    "load_model",
    "pair_uncertainty",
    "refine",
    "register_affine",
    "register_files",
    "register_images",
    "register_pair",
    "repair",
    "warp_array",
    "warp_labels",
]
