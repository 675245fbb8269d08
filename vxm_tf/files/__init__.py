"""Files: volumes, JSON and CSV, read with checks and written whole or not at all."""

from vxm_tf.files.volumes import Volume, VolumeError, read_image, read_labels, write_volume

__all__ = ["Volume", "VolumeError", "read_image", "read_labels", "write_volume"]
