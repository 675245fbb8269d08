"""The U-Net against one written out in NumPy, and its facts."""

import keras
import numpy as np
import pytest

from vxm_tf.models import unet


def build(shape=(16, 32), channels=2, encoder=(3, 5), decoder=(7, 6, 4), **settings):
    tensor = keras.Input((*shape, channels))
    return keras.Model(tensor, unet(tensor, encoder, decoder, **settings))


def convolutions(model):
    return [layer for layer in model.layers if hasattr(layer, "kernel_size")]


def convolve(values, weights):
    """A 3-wide "same" convolution of `[voxels, channels]`, a bias or a normalisation, then LeakyReLU(0.2)."""
    kernel, *scale, shift = weights
    padded = np.pad(values, [(1, 1), (0, 0)])
    sums = sum(padded[k : k + len(values)] @ kernel[k] for k in range(3))
    if scale:
        sums = scale[0] * (sums - sums.mean(axis=0)) / np.sqrt(sums.var(axis=0) + 1e-5)
    return np.where(sums + shift > 0, sums + shift, 0.2 * (sums + shift))


@pytest.mark.parametrize("normalized", [False, True])
def test_it_is_the_network_written_out_in_numpy(rng, normalized):
    """Convolve, keep, pool; convolve, repeat, put the kept features behind; convolve."""
    model = build((8,), encoder=(3, 5), decoder=(7, 6, 4), instance_normalization=normalized)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    each = 3 if normalized else 2
    weights = [model.get_weights()[start : start + each] for start in range(0, 5 * each, each)]
    image = rng.normal(size=(8, 2))
    fine = convolve(image, weights[0])
    coarse = convolve(fine.reshape(4, 2, 3).max(axis=1), weights[1])
    bottom = convolve(coarse.reshape(2, 2, 5).max(axis=1), weights[2])
    middle = convolve(np.concatenate([bottom.repeat(2, axis=0), coarse], axis=1), weights[3])
    expected = convolve(np.concatenate([middle.repeat(2, axis=0), fine], axis=1), weights[4])
    np.testing.assert_allclose(model(image[None].astype("float32"))[0], expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_last_features_come_on_the_grid_of_the_image(ndim):
    shape = (8, 16, 4)[:ndim]
    assert build(shape).output_shape == (None, *shape, 4)


@pytest.mark.parametrize(("stop_level", "grid"), [(0, (16, 32)), (1, (8, 16)), (2, (4, 8))])
def test_stop_level_leaves_out_the_last_upsamplings(stop_level, grid):
    model = build(stop_level=stop_level)
    assert model.output_shape == (None, *grid, 4)
    assert sum("_dec_up_" in layer.name for layer in model.layers) == 2 - stop_level


@pytest.mark.parametrize("stop_level", [0, 1, 2])
def test_stop_level_leaves_out_no_convolution(stop_level):
    assert len(convolutions(build(stop_level=stop_level))) == 5


def test_names_begin_with_the_prefix():
    names = [layer.name for layer in build(name="trunk").layers[1:]]
    assert names[:3] == ["trunk_enc_conv_0", "trunk_enc_conv_0_activation", "trunk_enc_pool_0"]
    assert all(name.startswith("trunk_") for name in names)


def test_convolutions_start_from_he_normal_weights_and_no_bias():
    for layer in convolutions(build()):
        assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
        assert not np.any(layer.get_weights()[1])


def test_normalised_convolutions_have_no_bias_of_their_own():
    model = build(instance_normalization=True)
    assert [len(layer.get_weights()) for layer in convolutions(model)] == [1] * 5
    assert sum(layer.name.endswith("_normalization") for layer in model.layers) == 5


def test_dtype_is_the_policy_of_every_layer_but_pooling():
    policies = {layer.name: layer.dtype_policy.name for layer in build(dtype="mixed_bfloat16").layers[1:]}
    pooling = {name for name in policies if "pool" in name}
    assert pooling and {policies[name] for name in pooling} == {"float32"}
    assert {policies[name] for name in policies if name not in pooling} == {"mixed_bfloat16"}


def test_fewer_decoder_features_than_levels_are_refused():
    with pytest.raises(ValueError, match=r"2 encoder levels needs at least 2 decoder features; got \(7,\)"):
        build(decoder=(7,))


@pytest.mark.parametrize("stop_level", [-1, 3])
def test_a_stop_level_beyond_the_levels_is_refused(stop_level):
    with pytest.raises(ValueError, match=f"stop_level must be between 0 and the 2 levels; got {stop_level}"):
        build(stop_level=stop_level)
