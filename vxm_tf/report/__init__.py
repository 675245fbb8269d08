"""Results to look at."""

from vxm_tf.report.panel import registration_panel, write_picture

__all__ = ["registration_panel", "write_picture"]
