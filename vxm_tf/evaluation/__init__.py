"""Evaluation of networks on pairs whose anatomy is labelled."""

from vxm_tf.evaluation.config import EvaluateConfig
from vxm_tf.evaluation.run_evaluation import evaluate

__all__ = ["EvaluateConfig", "evaluate"]
