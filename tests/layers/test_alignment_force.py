"""The layer hands its halves to the operation, and learns nothing from them."""

import keras
import numpy as np
import tensorflow as tf

from vxm_tf import layers, ops


def test_it_stacks_what_the_operation_says_of_both_halves(rng):
    moving, fixed = rng.random((2, 3, 8, 10, 2), dtype="float32")
    found = np.asarray(layers.AlignmentForce(3, 0.2)(np.concatenate([moving, fixed])))
    on_moving, on_fixed, correlation = (np.asarray(t) for t in ops.alignment_force(moving, fixed, 3, 0.2))
    np.testing.assert_allclose(found[:3], np.concatenate([on_moving, correlation], axis=-1), atol=1e-6)
    np.testing.assert_allclose(found[3:], np.concatenate([on_fixed, correlation], axis=-1), atol=1e-6)


def test_its_shape_is_known_before_its_values():
    layer = layers.AlignmentForce()
    assert layer(keras.KerasTensor((4, 8, 10, 12, 1))).shape == (4, 4, 5, 6, 4)
    assert layer(keras.KerasTensor((None, None, 10, 1))).shape == (None, None, 5, 3)


def test_no_gradient_flows_through_it(rng):
    both = tf.constant(rng.random((2, 8, 10, 1), dtype="float32"))
    with tf.GradientTape() as tape:
        tape.watch(both)
        total = tf.reduce_sum(layers.AlignmentForce()(both))
    assert tape.gradient(total, both) is None
