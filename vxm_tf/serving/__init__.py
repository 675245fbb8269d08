"""Networks as SavedModels for TensorFlow Serving."""

from vxm_tf.serving.export import export_saved_model, next_version

__all__ = ["export_saved_model", "next_version"]
