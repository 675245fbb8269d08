"""The layer is `ops.integrate` with its number of steps, in float32."""

import keras
import numpy as np
import pytest

from vxm_tf import ops
from vxm_tf.layers import VecInt


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_it_integrates_with_its_steps(any_shape, random_field, steps):
    velocity = random_field(any_shape)
    np.testing.assert_array_equal(VecInt(steps)(velocity), ops.integrate(velocity, steps))


def test_seven_steps_are_the_default(random_field):
    velocity = random_field((15, 18))
    np.testing.assert_array_equal(VecInt()(velocity), ops.integrate(velocity, 7))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_no_policy_rounds_the_velocity(random_field, policy):
    velocity = random_field((15, 18))
    expected = VecInt()(velocity)
    keras.config.set_dtype_policy(policy)
    displacement = VecInt()(velocity)
    assert displacement.dtype == "float32"
    np.testing.assert_array_equal(displacement, expected)


def test_the_output_has_the_shape_of_the_velocity():
    assert VecInt().compute_output_shape((None, 15, None, 2)) == (None, 15, None, 2)


def test_negative_steps_are_refused():
    with pytest.raises(ValueError, match="number of integration steps is 0 or more; got -2"):
        VecInt(-2)


def test_what_is_no_field_is_refused():
    with pytest.raises(ValueError, match="A velocity has shape"):
        VecInt()(np.zeros((1, 4, 5, 3), "float32"))
