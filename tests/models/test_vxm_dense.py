"""What the network answers, against the operations it is made of."""

import gc
import weakref

import keras
import numpy as np
import pytest

from vxm_tf import ops
from vxm_tf.models import VxmDense

FEATURES = ((4, 6), (6, 4, 4))
RESOLUTIONS = [1, 2, 4]
EVERYTHING = (*VxmDense.BIDIRECTIONAL, "velocity")
# Input and output filters of every convolution, for two volumes of one channel.
KERNELS = [(2, 16), (16, 32), (32, 32), (32, 32), (32, 32), (64, 32), (64, 32), (64, 32), (48, 32), (32, 16), (16, 16)]


def cropped(array, shape):
    return array[(slice(None), *(slice(size) for size in shape))]


def test_the_default_network_has_327331_parameters():
    assert VxmDense((16, 16, 16)).count_params() == 327_331


def test_the_default_network_has_the_convolutions_of_voxelmorph():
    kernels = [layer.kernel.shape for layer in VxmDense((16, 16, 16)).layers if hasattr(layer, "kernel_size")]
    assert kernels == [(3, 3, 3, *filters) for filters in (*KERNELS, (16, 3))]


def test_the_head_starts_near_zero():
    kernel, bias = VxmDense((16, 16, 16)).get_layer("flow").get_weights()
    assert kernel.std() == pytest.approx(1e-5, rel=0.1)
    assert not bias.any()


@pytest.mark.parametrize("shape", [(17,), (15, 18), (9, 10, 11), (16, 32), (1, 33), (3, 4, 50)])
def test_every_output_has_the_shape_of_the_image_whatever_that_is(shape, smooth_images):
    network = VxmDense(shape, features=FEATURES, integration_steps=1, outputs=VxmDense.BIDIRECTIONAL)
    answer = network(smooth_images(shape))
    field, image = (2, *shape, len(shape)), (2, *shape, 1)
    expected = {"moved": image, "displacement": field, "fixed_moved": image, "inverse_displacement": field}
    assert {name: tuple(value.shape) for name, value in answer.items()} == expected


def test_an_image_is_padded_with_zeros_after_its_end(shape, network, smooth_images):
    small, images = network(shape, outputs=("velocity", "displacement")), smooth_images(shape)
    padding = [(0, 0), *((0, -size % 4) for size in shape), (0, 0)]
    large = small.for_shape([size + after for size, (_, after) in zip(shape, padding[1:-1], strict=True)])
    answer, whole = small(images), large({name: np.pad(image, padding) for name, image in images.items()})
    np.testing.assert_allclose(answer["velocity"], whole["velocity"], atol=1e-5)
    np.testing.assert_allclose(answer["displacement"], cropped(whole["displacement"], shape), atol=1e-5)


@pytest.mark.parametrize("sizes", [[(15, 18), (16, 32), (9, 5)], [(9, 10, 11), (8, 8, 16), (5, 6, 7)]])
def test_unknown_sizes_give_what_known_sizes_give(sizes, network, smooth_images):
    flexible = network([None] * len(sizes[0]), outputs=EVERYTHING)
    for shape in sizes:
        images = smooth_images(shape)
        answer, expected = flexible(images), flexible.for_shape(shape)(images)
        for name in EVERYTHING:
            np.testing.assert_allclose(answer[name], expected[name], atol=1e-4, err_msg=name)


def test_images_before_training_hardly_move(shape, smooth_images):
    images = smooth_images(shape)
    answer = VxmDense(shape)({"moving": images["moving"], "fixed": images["moving"]})
    np.testing.assert_allclose(answer["displacement"], np.zeros((2, *shape, len(shape))), atol=2e-3)
    np.testing.assert_allclose(answer["moved"], images["moving"], atol=2e-3)


def test_moved_is_the_moving_image_warped_by_the_displacement(shape, network, smooth_images):
    images = smooth_images(shape)
    answer = network(shape)(images)
    assert np.abs(answer["displacement"]).max() > 0.2
    np.testing.assert_allclose(answer["moved"], ops.warp(images["moving"], answer["displacement"]), atol=1e-5)


def test_fixed_moved_is_the_fixed_image_warped_by_the_inverse_displacement(shape, network, smooth_images):
    images = smooth_images(shape)
    answer = network(shape, outputs=VxmDense.BIDIRECTIONAL)(images)
    expected = ops.warp(images["fixed"], answer["inverse_displacement"])
    np.testing.assert_allclose(answer["fixed_moved"], expected, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_displacements_are_the_integrals_of_the_velocity_and_its_negative(
    shape, network, smooth_images, resolution, steps
):
    settings = {"integration_resolution": resolution, "integration_steps": steps, "outputs": EVERYTHING}
    answer = network(shape, **settings)(smooth_images(shape))
    padded = [resolution * size for size in answer["velocity"].shape[1:-1]]
    for name, sign in (("displacement", 1.0), ("inverse_displacement", -1.0)):
        expected = cropped(ops.resize(ops.integrate(sign * answer["velocity"], steps), padded), shape)
        np.testing.assert_allclose(answer[name], expected, atol=1e-5)


@pytest.mark.parametrize("resolution", [2, 4])
def test_the_inverse_displacement_undoes_the_displacement(shape, network, smooth_images, resolution):
    settings = {"integration_steps": 7, "integration_resolution": resolution, "outputs": VxmDense.BIDIRECTIONAL}
    answer = network(shape, **settings)(smooth_images(shape))
    there, back = np.asarray(answer["displacement"]), np.asarray(answer["inverse_displacement"])
    assert np.abs(there).max() > 0.2
    for first, second in ((there, back), (back, there)):
        error = np.abs(ops.compose(first, second)).mean()
        assert error < 0.1 * np.abs(there).mean()
        assert error < 0.9 * np.abs(ops.compose(first, -first)).mean()


@pytest.mark.parametrize("integration_resolution", RESOLUTIONS)
@pytest.mark.parametrize("velocity_resolution", RESOLUTIONS)
def test_the_velocity_is_on_the_grid_of_integration(shape, smooth_images, velocity_resolution, integration_resolution):
    settings = {"velocity_resolution": velocity_resolution, "integration_resolution": integration_resolution}
    outputs = ("velocity", "displacement")
    network = VxmDense(shape, features=FEATURES, integration_steps=1, outputs=outputs, **settings)
    answer = network(smooth_images(shape))
    padded = [size + -size % 4 for size in shape]
    assert answer["velocity"].shape == (2, *(size // integration_resolution for size in padded), len(shape))
    assert answer["displacement"].shape == (2, *shape, len(shape))
    assert network.get_layer("flow").output.shape[1:-1] == tuple(size // velocity_resolution for size in padded)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_finer_prediction_is_put_on_the_grid_of_integration_as_a_displacement_is(network, smooth_images, resolution):
    model = network((16, 20), integration_resolution=resolution, outputs=("velocity",))
    images = smooth_images((16, 20))
    head = keras.Model(model.input, model.get_layer("flow").output)(images)
    expected = ops.resize(head, (16 // resolution, 20 // resolution))
    np.testing.assert_allclose(model(images)["velocity"], expected, atol=1e-5)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_without_integration_the_displacement_is_the_velocity_on_the_grid_of_the_image(
    shape, network, smooth_images, resolution
):
    settings = {"integration_steps": 0, "integration_resolution": resolution}
    answer = network(shape, outputs=("velocity", "displacement"), **settings)(smooth_images(shape))
    padded = [resolution * size for size in answer["velocity"].shape[1:-1]]
    np.testing.assert_allclose(
        answer["displacement"], cropped(ops.resize(answer["velocity"], padded), shape), atol=1e-6
    )


@pytest.mark.parametrize("channels", [(2, 3), (1, 1), (3, 1), 2])
def test_images_may_have_several_channels(shape, smooth_images, channels):
    moving, fixed = (channels, channels) if isinstance(channels, int) else channels
    outputs = VxmDense.BIDIRECTIONAL
    network = VxmDense(shape, channels=channels, features=FEATURES, integration_steps=1, outputs=outputs)
    answer = network(smooth_images(shape, (moving, fixed)))
    assert answer["moved"].shape == (2, *shape, moving)
    assert answer["fixed_moved"].shape == (2, *shape, fixed)


def test_the_moving_image_comes_first(network, smooth_images):
    """A first convolution that is blind to its second channel is blind to the fixed image."""
    model, images = network((15, 18), outputs=("velocity",)), smooth_images((15, 18))
    first = model.get_layer("unet_enc_conv_0")
    kernel, bias = first.get_weights()
    kernel[..., 1, :] = 0.0
    first.set_weights([kernel, bias])
    expected = model(images)["velocity"]
    np.testing.assert_array_equal(model({**images, "fixed": 1 - images["fixed"]})["velocity"], expected)
    assert not np.allclose(model({**images, "moving": 1 - images["moving"]})["velocity"], expected, atol=1e-3)


@pytest.mark.parametrize("normalized", [False, True])
def test_batch_items_are_registered_on_their_own(shape, network, smooth_images, normalized):
    model, images = network(shape, instance_normalization=normalized), smooth_images(shape)
    alone = [model({name: image[[i, i]] for name, image in images.items()})["displacement"][0] for i in range(2)]
    np.testing.assert_allclose(model(images)["displacement"], np.stack(alone), atol=1e-5)


def test_outputs_are_those_that_were_asked_for(network, smooth_images):
    assert set(network((15, 18), outputs=iter(["velocity", "moved"]))(smooth_images((15, 18)))) == {"velocity", "moved"}


def test_inputs_are_float32_images_by_name():
    inputs = VxmDense((15, 18), channels=(2, 3), features=FEATURES, dtype="mixed_float16").input
    described = {name: (tensor.name, tensor.shape, tensor.dtype) for name, tensor in inputs.items()}
    assert described == {
        "moving": ("moving", (None, 15, 18, 2), "float32"),
        "fixed": ("fixed", (None, 15, 18, 3), "float32"),
    }


def test_with_outputs_shares_the_weights(network, smooth_images):
    model, images = network((15, 18)), smooth_images((15, 18))
    other = model.with_outputs("velocity", "fixed_moved")
    before = np.array(other(images)["velocity"])
    kernel, bias = model.get_layer("flow").get_weights()
    model.get_layer("flow").set_weights([2 * kernel, bias])
    np.testing.assert_allclose(other(images)["velocity"], 2 * before, atol=1e-6)
    assert {id(variable) for variable in other.variables} == {id(variable) for variable in model.variables}


def test_with_outputs_answers_what_it_is_asked_for(network, smooth_images):
    other = network((15, 18)).with_outputs("velocity", "fixed_moved")
    assert set(other(smooth_images((15, 18)))) == {"velocity", "fixed_moved"}


def test_for_shape_is_the_same_network_for_another_shape(shape, network, smooth_images):
    model = network(shape, outputs=EVERYTHING)
    other = model.for_shape([size + 5 for size in shape])
    assert other.settings == {**model.settings, "image_shape": tuple(size + 5 for size in shape)}
    for ours, expected in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_for_shape_copies_the_weights(network):
    model = network((15, 18))
    before = model.get_weights()
    other = model.for_shape((16, 20))
    other.set_weights([0 * weight for weight in other.get_weights()])
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_for_shape_keeps_policy_metadata_and_trainable():
    model = VxmDense((15, 18), features=FEATURES, dtype="mixed_bfloat16")
    model.metadata, model.trainable = {"normalization": "minmax"}, False
    other = model.for_shape((None, None))
    assert (other.dtype_policy.name, other.metadata, other.trainable) == ("mixed_bfloat16", model.metadata, False)


def test_for_its_own_shape_is_itself(network):
    model = network((15, 18))
    assert model.for_shape([15, 18]) is model


def test_metadata_and_trainable_come_back_from_a_file(tmp_path):
    model = VxmDense((15, 18), features=FEATURES, name="brains")
    model.metadata, model.trainable = {"normalization": "percentile", "range": [0.5, 99.5]}, False
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.metadata, loaded.trainable, loaded.name) == (model.metadata, False, "brains")
    assert loaded.settings == model.settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_shape": ()}, r"image_shape holds 1 to 3 spatial sizes, .* got \(\)"),
        ({"image_shape": (8, 8, 8, 8)}, r"image_shape holds 1 to 3 spatial sizes, .* got \(8, 8, 8, 8\)"),
        ({"channels": (1, 2, 3)}, r"channels is one number, or a pair \(moving, fixed\); got \(1, 2, 3\)"),
        ({"velocity_resolution": 3}, "velocity_resolution is a power of two from 1 to 4; got 3"),
        ({"velocity_resolution": 8}, "velocity_resolution is a power of two from 1 to 4; got 8"),
        ({"integration_resolution": 0}, "integration_resolution is a power of two from 1 to 4; got 0"),
        ({"integration_steps": -1}, "number of integration steps is 0 or more; got -1"),
        ({"features": ((4, 6), (4,))}, r"2 encoder levels needs at least 2 decoder features; got \(4,\)"),
        ({"outputs": ("moved", "flow")}, "There is no output 'flow'; choose from moved, displacement, fixed_moved"),
        ({"integration_steps": 0, "outputs": ("fixed_moved",)}, "has no inverse, so there is no 'fixed_moved'. Set"),
        ({"integration_steps": 0, "outputs": ("inverse_displacement",)}, "so there is no 'inverse_displacement'. Set"),
    ],
)
def test_settings_that_make_no_network_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VxmDense(**{"image_shape": (15, 18), "features": FEATURES, **settings})


def test_for_shape_refuses_images_of_another_dimension():
    with pytest.raises(ValueError, match=r"takes 2-D images; got an image of shape \(9, 10, 11\)"):
        VxmDense((15, 18), features=FEATURES).for_shape((9, 10, 11))


def test_misspelt_settings_are_refused():
    with pytest.raises(TypeError, match="int_steps"):
        VxmDense((15, 18), features=FEATURES, int_steps=0)


@pytest.mark.parametrize(
    ("steps", "name", "message"),
    [(7, "flow", "There is no output 'flow'"), (0, "fixed_moved", r"\(integration_steps=0\) has no inverse")],
)
def test_with_outputs_refuses_what_the_network_cannot_answer(steps, name, message):
    network = VxmDense((15, 18), features=FEATURES, integration_steps=steps)
    with pytest.raises(ValueError, match=message):
        network.with_outputs("moved", name)


def test_models_of_some_outputs_are_made_once_and_end_with_the_network():
    network = VxmDense((16, 16), features=FEATURES)
    model = network.with_outputs("velocity")
    assert network.with_outputs("velocity") is model is not network.with_outputs("displacement")
    assert VxmDense((16, 16), features=FEATURES).with_outputs("velocity") is not model
    model.predict_on_batch({name: np.zeros((1, 16, 16, 1)) for name in ("moving", "fixed")})
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None
