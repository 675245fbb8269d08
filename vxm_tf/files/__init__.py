"""Files: volumes, JSON and CSV, read with checks and written whole or not at all."""

from vxm_tf.files.errors import InputError, VolumeError
from vxm_tf.files.volumes import Volume, read_image, read_labels
from vxm_tf.files.writing import write_volume

__all__ = ["InputError", "Volume", "VolumeError", "read_image", "read_labels", "write_volume"]
