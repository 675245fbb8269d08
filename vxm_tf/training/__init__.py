"""Training of registration networks."""

from vxm_tf.training.config import TrainConfig
from vxm_tf.training.run_training import train
from vxm_tf.training.trainer import RegistrationTrainer

__all__ = ["RegistrationTrainer", "TrainConfig", "train"]
