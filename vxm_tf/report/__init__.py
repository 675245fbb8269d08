"""Pictures and HTML pages of registrations."""

from vxm_tf.report.panel import registration_panel, write_picture
from vxm_tf.report.registration_page import write_registration_report
from vxm_tf.report.set_report import SetReport

__all__ = ["SetReport", "registration_panel", "write_picture", "write_registration_report"]
