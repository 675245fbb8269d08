"""A step along a force, against its formula and the loss that it descends."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vxm_tf import layers, ops
from vxm_tf.layers import descent_step


def tensors(rng, ndim=2):
    return rng.standard_normal((3, 2, *(6, 7, 5)[:ndim], ndim)).astype("float32")


def by_hand(velocity, force, memory, rate, share, smoothness):
    ndim = velocity.shape[-1]
    with tf.GradientTape() as tape:
        variable = tf.Variable(velocity)
        squares = [tf.reduce_sum(ops.forward_differences(variable, axis + 1) ** 2) for axis in range(ndim)]
        # `GradientPenalty` times the number of cells, but for the cells at the border, which have no next one.
        penalty = sum(squares) / ndim**2
    memory = share * memory + (1 - share) * (force - smoothness * np.asarray(tape.gradient(penalty, variable)))
    length = np.sqrt(np.mean(memory**2, axis=-1, keepdims=True))
    return velocity + rate * memory / (length + 0.1), memory


@pytest.mark.parametrize("ndim", (1, 2, 3))
def test_it_goes_along_the_memory_of_forces_and_of_the_penalty(rng, ndim):
    velocity, force, memory = tensors(rng, ndim)
    layer = layers.DescentStep(4, rate=0.8, memory=0.25, smoothness=0.6)
    # A cosine from 1 to 0.3, at its half.
    for number, rate in ((0, 0.8), (2, 0.8 * 0.65)):
        found = layer(velocity, force, memory, number=number)
        for one, other in zip(found, by_hand(velocity, force, memory, rate, 0.25, 0.6)):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_where_nothing_pulls_nothing_moves_and_derivatives_are_numbers():
    still = tf.zeros((1, 4, 5, 2))
    layer = layers.DescentStep()
    with tf.GradientTape() as tape:
        tape.watch(still)
        moved, _ = layer(still, still, still)
    np.testing.assert_array_equal(moved, 0.0)
    assert np.isfinite(tape.gradient(moved, still)).all()


def test_each_step_learns_its_rate_and_all_share_the_rest(rng):
    layer = layers.DescentStep(3)
    layer(*tensors(rng))
    shapes = {weight.name: weight.shape for weight in layer.trainable_weights}
    assert shapes == {"log_rates": (3,), "memory_logit": (), "log_smoothness": (), "log_floor": ()}
    assert np.exp(layer.log_rates[0]) == pytest.approx(0.5)
    assert np.exp(layer.log_floor) == pytest.approx(descent_step.FLOOR)


def test_its_settings_survive_a_file():
    copy = keras.layers.deserialize(keras.layers.serialize(layers.DescentStep(2, 0.25, 0.75, 1.5)))
    assert (copy.steps, copy.rate, copy.memory, copy.smoothness) == (2, 0.25, 0.75, 1.5)


@pytest.mark.parametrize("settings", ({"steps": 0}, {"rate": 0.0}, {"memory": 1.0}, {"smoothness": -1.0}))
def test_settings_that_make_no_step_are_refused(settings):
    with pytest.raises(ValueError, match="memory lies between 0 and 1; got steps="):
        layers.DescentStep(**settings)
