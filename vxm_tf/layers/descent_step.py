"""The layer that moves a velocity along a force and smooths it."""

import math

import keras
from keras import initializers
from keras import ops as K

from vxm_tf import ops


@keras.saving.register_keras_serializable(package="vxm_tf")
class DescentStep(keras.layers.Layer):
    """v <- v + gain * force + smoothing * (S v - v), with S the mean of a box of 3 and both factors learned.

    Computes in float32 under every precision policy. Source: the fluid and elastic steps of Thirion's demons,
    Medical Image Analysis 1998, with what they fix by hand left to training.

    Args:
        gain: of the force before training; it stays positive.
        smoothing: before training; 1 puts the mean in the velocity's place.

    Call arguments:
        velocity: `[batch, *spatial, ndim]`.
        force: the same shape and unit.

    Output shape:
        That of the velocity.

    Raises:
        ValueError: a gain that is not positive.
    """

    def __init__(self, gain=1.0, smoothing=0.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if gain <= 0:
            raise ValueError(f"A force moves a velocity by a positive gain; got {gain}.")
        self.gain = gain
        self.smoothing = smoothing

    def build(self, velocity_shape, force_shape):
        # The logarithm, so that a step of the optimiser is a fraction of the gain, whatever its size.
        log_gain = initializers.Constant(math.log(self.gain))
        self.log_gain = self.add_weight(name="log_gain", shape=(), initializer=log_gain)
        self.share = self.add_weight(name="smoothing", shape=(), initializer=initializers.Constant(self.smoothing))

    def call(self, velocity, force):
        return velocity + K.exp(self.log_gain) * force + self.share * (ops.window_mean(velocity, 3) - velocity)

    def compute_output_shape(self, velocity_shape, force_shape):
        return velocity_shape

    def get_config(self):
        return {**super().get_config(), "gain": self.gain, "smoothing": self.smoothing}
