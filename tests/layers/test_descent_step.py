"""A step along a force, against its formula."""

import keras
import numpy as np
import pytest

from vxm_tf import layers, ops


def test_it_follows_the_force_smooths_and_goes_on(rng):
    velocity, force, last = rng.standard_normal((3, 1, 6, 7, 2)).astype("float32")
    layer = layers.DescentStep(gain=3.0, smoothing=0.25, momentum=0.5)
    expected = 0.75 * velocity + 0.25 * np.asarray(ops.window_mean(velocity, 3)) + 3.0 * force
    expected += 0.5 * last
    np.testing.assert_allclose(layer(velocity, force, last), expected, atol=1e-5)


def test_all_factors_are_learned_and_the_gain_stays_positive(rng):
    velocity, force, last = rng.standard_normal((3, 1, 6, 7, 2)).astype("float32")
    layer = layers.DescentStep()
    layer(velocity, force, last)
    assert sorted(weight.name for weight in layer.trainable_weights) == ["gain", "momentum", "smoothing"]
    layer.log_gain.assign(-30.0)
    np.testing.assert_allclose(layer(velocity, force, last), velocity, atol=1e-5)
    copy = keras.layers.deserialize(keras.layers.serialize(layers.DescentStep(2.0, 0.5, 0.25)))
    assert copy.start == {"gain": 2.0, "smoothing": 0.5, "momentum": 0.25}


def test_a_gain_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="positive gain; got 0"):
        layers.DescentStep(gain=0)
