"""Networks as SavedModels for TensorFlow Serving."""

from vxm_tf.serving.export import export_saved_model, next_version
from vxm_tf.serving.model_card import Origin

__all__ = ["Origin", "export_saved_model", "next_version"]
