"""Registering one pair of images with a trained network."""

from vxm_tf.registration.files import RegisterConfig, register_files
from vxm_tf.registration.model_file import input_settings, load_model
from vxm_tf.registration.pair import Registration, register_pair, warp_array, warp_labels

__all__ = [
    "RegisterConfig",
    "Registration",
    "input_settings",
    "load_model",
    "register_files",
    "register_pair",
    "warp_array",
    "warp_labels",
]
