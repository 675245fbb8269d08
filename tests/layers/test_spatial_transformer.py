"""The layer is `ops.warp` with its settings, in float32."""

import keras
import numpy as np
import pytest

from vxm_tf import ops
from vxm_tf.layers import SpatialTransformer

SETTINGS = [("linear", "nearest", 0.0), ("nearest", "nearest", 0.0), ("linear", "constant", 7.0)]
HALVES = pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])


@pytest.mark.parametrize(("interpolation", "fill_mode", "fill_value"), SETTINGS)
def test_it_warps_with_its_settings(any_shape, rng, random_field, interpolation, fill_mode, fill_value):
    image, displacement = rng.random((2, *any_shape, 2), "float32"), random_field(any_shape, 3.0)
    layer = SpatialTransformer(interpolation, fill_mode=fill_mode, fill_value=fill_value)
    expected = ops.warp(image, displacement, interpolation, fill_mode, fill_value)
    np.testing.assert_array_equal(layer(image, displacement), expected)


def test_zero_displacement_returns_the_image_bit_for_bit_faces_included(shape, rng):
    image = rng.normal(size=(1, *shape, 1)).astype("float32")
    zero = np.zeros((1, *shape, len(shape)), "float32")
    np.testing.assert_array_equal(SpatialTransformer()(image, zero), image)


@HALVES
def test_no_policy_rounds_the_image(rng, policy):
    keras.config.set_dtype_policy(policy)
    image = 1000 * rng.random((1, 15, 18, 1), "float32")
    moved = SpatialTransformer()(image, np.zeros((1, 15, 18, 2), "float32"))
    assert moved.dtype == "float32"
    np.testing.assert_array_equal(moved, image)


@HALVES
def test_no_policy_rounds_locations(policy):
    """A whole displacement in half precision would be good for steps of an eighth of a voxel at 300."""
    image = np.arange(400, dtype="float32").reshape(1, 400, 1)
    displacement = np.full((1, 400, 1), 0.3, "float32")
    moved = np.asarray(SpatialTransformer(dtype=policy)(image, displacement)).ravel()[:-1]
    np.testing.assert_allclose(moved, np.arange(399) + 0.3, atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_labels_keep_their_type(dtype):
    labels = np.arange(20, dtype=dtype).reshape(1, 4, 5, 1)
    moved = SpatialTransformer("nearest")(labels, np.zeros((1, 4, 5, 2), "float32"))
    assert moved.dtype == dtype
    np.testing.assert_array_equal(moved, labels)


def test_the_output_is_on_the_grid_of_the_displacement():
    layer = SpatialTransformer()
    assert layer.compute_output_shape((None, 7, 8, 3), (None, 15, 18, 2)) == (None, 15, 18, 3)
    moved = layer(np.zeros((2, 7, 8, 3), "float32"), np.zeros((2, 15, 18, 2), "float32"))
    assert moved.shape == (2, 15, 18, 3)


def test_unknown_interpolation_is_refused_at_construction():
    with pytest.raises(ValueError, match="interpolation must be one of 'linear', 'nearest'; got 'cubic'"):
        SpatialTransformer("cubic")


def test_unknown_fill_mode_is_refused_at_construction():
    with pytest.raises(ValueError, match="fill_mode must be one of 'nearest', 'constant'; got 'wrap'"):
        SpatialTransformer(fill_mode="wrap")


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"got an image of shape \(1, 4, 5, 1\)"):
        SpatialTransformer()(np.zeros((1, 4, 5, 1), "float32"), np.zeros((1, 4, 5, 6, 3), "float32"))
