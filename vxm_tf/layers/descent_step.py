"""The layer that moves a velocity along a force."""

import math

import keras
from keras import initializers
from keras import ops as K

from vxm_tf.ops.differences import laplacian
from vxm_tf.ops.fusion import fused

FLOOR = 0.1
"""Of the force: shorter ones move the velocity by less than the rate, per cell."""
LAST_RATE = 0.3
"""Of the first one, before training."""


@keras.saving.register_keras_serializable(package="vxm_tf")
class DescentStep(keras.layers.Layer):
    """A step of about the same length wherever anything pulls, along a memory of forces.

        m <- memory m + (1 - memory) (force + smoothness (2 / ndim^2) laplacian v)
        v <- v + rate[number] m / (|m| + floor),  |m|^2 the mean of the components' squares

    Smoothness is the weight of `losses.GradientPenalty` beside a mean similarity whose derivative is the force. All
    steps share what they learn, except the rate, of which each has its own, at first falling along a cosine.
    Computes in float32 under every precision policy. Sources: the normalised steps of Adam, Kingma and Ba, ICLR
    2015, here with one length for a vector instead of one for each component and without memory of it.

    Args:
        steps: how many there will be.
        rate: cells, of the first step before training.
        memory: share of the forces before, 0 to 1, before training.
        smoothness: before training.

    Call arguments:
        velocity: `[batch, *spatial, ndim]`, in cells.
        force: the same shape, per cell.
        memory: the same shape; what the step before answered, at first zeros.
        number: which step this is, from 0.

    Output shape:
        A pair of tensors like the velocity: the new velocity and the new memory.

    Raises:
        ValueError: a number of steps, rate or smoothness that is not positive, or a memory that is not between 0 and 1.
    """

    def __init__(self, steps=1, rate=0.5, memory=0.5, smoothness=0.5, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if min(steps, rate, smoothness) <= 0 or not 0 < memory < 1:
            raise ValueError(
                "steps, rate and smoothness are positive, and memory lies between 0 and 1; got "
                f"steps={steps}, rate={rate}, smoothness={smoothness} and memory={memory}."
            )
        self.steps, self.rate, self.memory, self.smoothness = steps, rate, memory, smoothness

    def build(self, *_):
        # Logarithms and the like, so that a step of the optimiser is a fraction of the value, whatever its size.
        rates = [math.log(self.rate * _fall(number / self.steps)) for number in range(self.steps)]
        self.log_rates = self.add_weight(name="log_rates", shape=(self.steps,), initializer=_constant(rates))
        odds = math.log(self.memory / (1.0 - self.memory))
        for name, value in (
            ("memory_logit", odds),
            ("log_smoothness", math.log(self.smoothness)),
            ("log_floor", math.log(FLOOR)),
        ):
            setattr(self, name, self.add_weight(name=name, shape=(), initializer=initializers.Constant(value)))

    def call(self, velocity, force, memory, number=0):
        # In one tensor: what is compiled takes tensors with axes.
        learned = (self.log_rates[number], self.memory_logit, self.log_smoothness, self.log_floor)
        learned = K.concatenate([K.reshape(value, (1,)) for value in learned])
        answer = _step(velocity, force, memory, learned)
        return tuple(K.split(answer, 2, axis=-1))

    def compute_output_shape(self, velocity_shape, force_shape, memory_shape):
        return velocity_shape, velocity_shape

    def get_config(self):
        own = {name: getattr(self, name) for name in ("steps", "rate", "memory", "smoothness")}
        return {**super().get_config(), **own}


@fused
def _step(velocity, force, memory, learned):
    """The new velocity and the new memory, one behind the other in the last axis."""
    ndim = velocity.shape[-1]
    rate, share, smoothness, floor = K.exp(learned[0]), K.sigmoid(learned[1]), K.exp(learned[2]), K.exp(learned[3])
    force = force + (2.0 / ndim**2) * smoothness * laplacian(velocity)
    memory = share * memory + (1.0 - share) * force
    # The root of 0 has no derivative.
    length = K.sqrt(K.mean(memory * memory, axis=-1, keepdims=True) + 1e-12)
    return K.concatenate([velocity + rate / (length + floor) * memory, memory], axis=-1)


def _constant(values):
    return lambda shape, dtype=None: K.convert_to_tensor(values, dtype)


def _fall(phase):
    """From 1 to `LAST_RATE` along a cosine."""
    return LAST_RATE + (1.0 - LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * phase))
