"""The layer that moves a velocity along a force."""

import math

import keras
from keras import initializers
from keras import ops as K

from vxm_tf import ops


@keras.saving.register_keras_serializable(package="vxm_tf")
class DescentStep(keras.layers.Layer):
    """v + gain * force + smoothing * (S v - v) + momentum * last, with S the mean of a box of 3.

    Computes in float32 under every precision policy. All three factors are learned. Sources: the fluid and elastic
    steps of Thirion's demons, Medical Image Analysis 1998; momentum as in Polyak, 1964.

    Args:
        gain: of the force before training; it stays positive.
        smoothing: before training; 1 puts the mean in the velocity's place.
        momentum: share of the last step that is done again, before training.

    Call arguments:
        velocity: `[batch, *spatial, ndim]`.
        force: the same shape and unit.
        last: what the step before added to the velocity.

    Output shape:
        That of the velocity.

    Raises:
        ValueError: a gain that is not positive.
    """

    def __init__(self, gain=1.0, smoothing=0.0, momentum=0.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if gain <= 0:
            raise ValueError(f"A force moves a velocity by a positive gain; got {gain}.")
        self.start = {"gain": gain, "smoothing": smoothing, "momentum": momentum}

    def build(self, velocity_shape, force_shape, last_shape):
        # The logarithm, so that a step of the optimiser is a fraction of the gain, whatever its size.
        start = {**self.start, "gain": math.log(self.start["gain"])}
        self.log_gain, self.smoothing, self.momentum = (
            self.add_weight(name=name, shape=(), initializer=initializers.Constant(value))
            for name, value in start.items()
        )

    def call(self, velocity, force, last):
        smoother = ops.window_mean(velocity, 3) - velocity
        return velocity + K.exp(self.log_gain) * force + self.smoothing * smoother + self.momentum * last

    def compute_output_shape(self, velocity_shape, force_shape, last_shape):
        return velocity_shape

    def get_config(self):
        return {**super().get_config(), **self.start}
