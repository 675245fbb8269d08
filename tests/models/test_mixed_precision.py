"""Convolutions in half precision; images, fields and outputs in float32."""

import keras
import numpy as np
import pytest

from vxm_tf import ops
from vxm_tf.models import VxmDense

FEATURES = ((4, 6), (6, 4, 4))
OUTPUTS = (*VxmDense.BIDIRECTIONAL, "velocity")
POLICIES = pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])


def build(policy, shape=(15, 18), **settings):
    return VxmDense(shape, features=FEATURES, outputs=OUTPUTS, dtype=policy, **settings)


@POLICIES
def test_the_unet_but_its_pooling_runs_under_the_policy_and_nothing_else_does(policy):
    policies = {layer.name: layer.dtype_policy.name for layer in build(policy).layers}
    half = {name for name in policies if name.startswith("unet_") and "pool" not in name}
    assert policies == {name: policy if name in half else "float32" for name in policies}
    assert len(half) > 10


@POLICIES
def test_convolutions_compute_in_half_precision_and_the_head_does_not(policy):
    model = build(policy)
    assert model.get_layer("unet_final_conv_0").output.dtype == policy.removeprefix("mixed_")
    assert model.get_layer("flow").output.dtype == "float32"


@POLICIES
def test_weights_and_outputs_are_float32(policy, smooth_images):
    model = build(policy)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert {value.dtype.name for value in model(smooth_images((15, 18))).values()} == {"float32"}


@POLICIES
def test_a_network_that_moves_nothing_returns_the_images_bit_for_bit(policy, rng):
    model = build(policy)
    head = model.get_layer("flow")
    head.set_weights([0 * weight for weight in head.get_weights()])
    images = {name: rng.random((2, 15, 18, 1), "float32") for name in ("moving", "fixed")}
    answer = model(images)
    np.testing.assert_array_equal(answer["moved"], images["moving"])
    np.testing.assert_array_equal(answer["fixed_moved"], images["fixed"])


@POLICIES
def test_moved_is_sampled_from_the_image_that_was_not_rounded(policy, network, rng):
    """Rounding the image first would be off by up to 1 / 4096 in float16 and 1 / 512 in bfloat16."""
    model = network((15, 18), dtype=policy)
    images = {name: rng.random((2, 15, 18, 1), "float32") for name in ("moving", "fixed")}
    answer = model(images)
    np.testing.assert_allclose(answer["moved"], ops.warp(images["moving"], answer["displacement"]), atol=1e-6)


@POLICIES
def test_the_displacement_is_close_to_that_in_float32(policy, network, smooth_images):
    half, images = network((15, 18), dtype=policy), smooth_images((15, 18))
    whole = network((15, 18))
    whole.set_weights(half.get_weights())
    error = np.abs(half(images)["displacement"] - whole(images)["displacement"]).max()
    assert 0 < error < {"mixed_float16": 0.005, "mixed_bfloat16": 0.05}[policy]


@POLICIES
def test_the_global_policy_is_the_default(policy):
    keras.config.set_dtype_policy(policy)
    model = VxmDense((15, 18), features=FEATURES)
    assert model.dtype_policy.name == policy
    assert model.get_layer("unet_enc_conv_0").dtype_policy.name == policy
    assert model.get_layer("flow").dtype_policy.name == "float32"


def test_its_own_policy_comes_before_the_global_one():
    keras.config.set_dtype_policy("mixed_float16")
    model = VxmDense((15, 18), features=FEATURES, dtype="float32")
    # Keras gives an input layer, which computes nothing, the global policy.
    policies = {layer.dtype_policy.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}
    assert policies == {"float32"}


def test_a_volume_runs_in_float16_where_tensorflow_pools_none(rng):
    network = VxmDense((16, 16, 16), features=((4,), (4,)), dtype="mixed_float16")
    images = {name: rng.random((1, 16, 16, 16, 1), "float32") for name in ("moving", "fixed")}
    assert np.isfinite(network.predict_on_batch(images)["displacement"]).all()
