"""The layer is `ops.resize` by a factor, in float32."""

import keras
import numpy as np
import pytest

from vxm_tf import ops
from vxm_tf.layers import ResizeDisplacement


@pytest.mark.parametrize(
    ("factor", "old", "new"),
    [
        (2, (9, 10, 11), (18, 20, 22)),
        (0.5, (9, 10, 11), (5, 5, 6)),
        (0.25, (15, 18), (4, 5)),
        (1 / 3, (15, 18), (5, 6)),
        (1.5, (15, 18), (23, 27)),
        (1, (15, 18), (15, 18)),
        (4, (17,), (68,)),
    ],
)
def test_sizes_round_to_the_nearest_and_vectors_follow_the_sizes(random_field, factor, old, new):
    field = random_field(old)
    resized = ResizeDisplacement(factor)(field)
    assert resized.shape == (2, *new, len(old))
    np.testing.assert_array_equal(resized, ops.resize(field, new))


@pytest.mark.parametrize("factor", [2, 0.5, 1 / 3, 1.5])
def test_the_announced_shape_is_the_shape_of_the_output(shape, random_field, factor):
    layer, field = ResizeDisplacement(factor), random_field(shape)
    assert layer.compute_output_shape(field.shape) == tuple(layer(field).shape)


def test_unknown_sizes_stay_unknown():
    assert ResizeDisplacement(2).compute_output_shape((None, None, 18, 2)) == (None, None, 36, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_no_policy_rounds_the_displacement(random_field, policy):
    field = random_field((15, 18), 100.0)
    expected = ResizeDisplacement(2)(field)
    keras.config.set_dtype_policy(policy)
    resized = ResizeDisplacement(2)(field)
    assert resized.dtype == "float32"
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("factor", [0, -1])
def test_factors_that_are_not_positive_are_refused(factor):
    with pytest.raises(ValueError, match=f"resized by a positive factor; got {factor}"):
        ResizeDisplacement(factor)


def test_what_is_no_field_is_refused():
    with pytest.raises(ValueError, match="A displacement has shape"):
        ResizeDisplacement(2)(np.zeros((1, 4, 5, 3), "float32"))
