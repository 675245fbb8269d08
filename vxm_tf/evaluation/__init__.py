"""How well a network registers pairs whose anatomy is known."""

from vxm_tf.evaluation.config import EvaluateConfig
from vxm_tf.evaluation.evaluate import evaluate

__all__ = ["EvaluateConfig", "evaluate"]
