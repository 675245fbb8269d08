"""Whole jobs on files: read, register, judge, draw and write, one module for each command."""

from vxm_tf.workflows.file_registration import register_files
from vxm_tf.workflows.front_door import register
from vxm_tf.workflows.register_config import RegisterConfig
from vxm_tf.workflows.registered_pair import RegisteredPair

__all__ = ["RegisterConfig", "RegisteredPair", "register", "register_files"]
