"""How well a network registers pairs whose anatomy is known."""

from vxm_tf.evaluation.config import EvaluateConfig
from vxm_tf.evaluation.run_evaluation import evaluate

__all__ = ["EvaluateConfig", "evaluate"]
