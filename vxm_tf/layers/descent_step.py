"""The layer that moves a velocity along a force."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import initializers
from keras import ops as K

from vxm_tf.ops.differences import laplacian
from vxm_tf.ops.fusion import fused
from vxm_tf.ops.tensors import Shape, Tensor

FLOOR = 0.1
"""Length of the memory, per cell, that makes a step half as long as its rate, before training."""
LAST_RATE = 0.3
"""Share of the first step's rate to which the rates of later steps fall, before training."""


@keras.saving.register_keras_serializable(package="vxm_tf")
class DescentStep(keras.layers.Layer):
    """Moves a velocity along a running mean of forces, by about the same length wherever a force acts.

        m <- memory m + (1 - memory) (force + smoothness (2 / ndim^2) laplacian v)
        v <- v + rate[number] m / (|m| + floor),  |m|^2 the mean of the components' squares

    Smoothness is the weight of `losses.GradientPenalty` beside a mean similarity whose derivative is the force. All
    steps share memory, smoothness and floor; each step has its own rate, and before training the rates fall along
    a cosine. Computes in float32 under every precision policy. Sources: the normalised steps of Adam, Kingma and Ba,
    ICLR 2015, here divided by the current length of the vector instead of a running mean for each component.

    Args:
        steps: number of steps that this layer makes.
        rate: length of the first step, in cells, before training.
        memory: share of earlier forces in the running mean, 0 to 1, before training.
        smoothness: weight of the velocity's Laplacian, before training.

    Call arguments:
        velocity: `[batch, *spatial, ndim]`, in cells.
        force: `[batch, *spatial, ndim]`, per cell.
        memory: `[batch, *spatial, ndim]`, per cell; the memory that the previous step returned, at first zeros.
        number: number of this step, from 0.

    Output shape:
        A pair (new velocity, new memory), each `[batch, *spatial, ndim]`.

    Raises:
        ValueError: a number of steps, rate or smoothness that is not positive, or a memory that is not between 0 and 1.
    """

    def __init__(
        self, steps: int = 1, rate: float = 0.5, memory: float = 0.5, smoothness: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if min(steps, rate, smoothness) <= 0 or not 0 < memory < 1:
            raise ValueError(
                "steps, rate and smoothness are positive, and memory lies between 0 and 1; got "
                f"steps={steps}, rate={rate}, smoothness={smoothness} and memory={memory}."
            )
        self.steps, self.rate, self.memory, self.smoothness = steps, rate, memory, smoothness

    def build(self, *_: Any) -> None:
        # Logarithms and logits let a step of the optimiser change each value by a fraction, whatever its size.
        rates = [math.log(self.rate * _fall(number / self.steps)) for number in range(self.steps)]
        self.log_rates = self.add_weight(name="log_rates", shape=(self.steps,), initializer=_constant(rates))
        odds = math.log(self.memory / (1.0 - self.memory))
        for name, value in (
            ("memory_logit", odds),
            ("log_smoothness", math.log(self.smoothness)),
            ("log_floor", math.log(FLOOR)),
        ):
            setattr(self, name, self.add_weight(name=name, shape=(), initializer=initializers.Constant(value)))

    def call(self, velocity: Tensor, force: Tensor, memory: Tensor, number: int = 0) -> tuple[Tensor, Tensor]:
        # One tensor with an axis, because `fused` takes a scalar for a setting.
        learned = (self.log_rates[number], self.memory_logit, self.log_smoothness, self.log_floor)
        learned = K.concatenate([K.reshape(value, (1,)) for value in learned])
        answer = _step(velocity, force, memory, learned)
        return tuple(K.split(answer, 2, axis=-1))

    def compute_output_shape(
        self, velocity_shape: Shape, force_shape: Shape, memory_shape: Shape
    ) -> tuple[Shape, Shape]:
        return velocity_shape, velocity_shape

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("steps", "rate", "memory", "smoothness")}
        return {**super().get_config(), **own}


@fused
def _step(velocity: Tensor, force: Tensor, memory: Tensor, learned: Tensor) -> Tensor:
    """The new velocity and the new memory, concatenated along the last axis."""
    ndim = velocity.shape[-1]
    rate, share, smoothness, floor = K.exp(learned[0]), K.sigmoid(learned[1]), K.exp(learned[2]), K.exp(learned[3])
    force = force + (2.0 / ndim**2) * smoothness * laplacian(velocity)
    memory = share * memory + (1.0 - share) * force
    # The root of 0 has no derivative.
    length = K.sqrt(K.mean(memory * memory, axis=-1, keepdims=True) + 1e-12)
    return K.concatenate([velocity + rate / (length + floor) * memory, memory], axis=-1)


def _constant(values: Sequence[float]) -> Callable[..., Tensor]:
    """Initializer that sets a weight to these values."""
    return lambda shape, dtype=None: K.convert_to_tensor(values, dtype)


def _fall(phase: float) -> float:
    """Rate as a share of the first step's: falls from 1 at phase 0 to `LAST_RATE` at phase 1, along a cosine."""
    return LAST_RATE + (1.0 - LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * phase))
