"""Overlap of the structures of two segmentations."""

from typing import Any

import keras
from keras import ops as K

from vxm_tf.ops.tensors import Tensor


@keras.saving.register_keras_serializable(package="vxm_tf")
class SoftDice(keras.losses.Loss):
    """Minus the mean soft Dice over labels, 2 sum(ab) / sum(a + b), from -1 to 0.

    A label that is absent from both segmentations of a pair is not counted for that pair. Source:
    Balakrishnan et al., IEEE TMI 2019, equation 9.

    Call arguments:
        y_true, y_pred: segmentations `[batch, *spatial, labels]`, one-hot or probabilities.
    """

    def __init__(self, *, name: str = "soft_dice", **kwargs: Any) -> None:
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        spatial = tuple(range(1, len(y_true.shape) - 1))
        overlap = 2.0 * K.sum(y_true * y_pred, axis=spatial)
        total = K.sum(y_true + y_pred, axis=spatial)
        present = K.cast(total > 0.0, "float32")
        dice = overlap / K.where(total > 0.0, total, 1.0)
        return -K.sum(dice * present, axis=-1) / K.maximum(K.sum(present, axis=-1), 1.0)
