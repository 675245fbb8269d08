"""VxmPyramid: symmetric, coarse to fine, of any shape."""

import numpy as np
import pytest
import tensorflow as tf

from vxm_tf import metrics, ops
from vxm_tf.models import PRESETS, VxmDense, VxmPyramid, from_preset, vxm_pyramid
from vxm_tf.models.presets import DENSE, PYRAMIDS

EVERYTHING = (*VxmPyramid.BIDIRECTIONAL, "velocity")


def moving(network, seed=0, size=0.05):
    """The network with heads that move things by about a voxel."""
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if layer.name.startswith("flow_"):
            kernel, bias = layer.get_weights()
            layer.set_weights([rng.normal(0.0, size, kernel.shape), rng.normal(0.0, size, bias.shape)])
    return network


def answer(network, first, second):
    return {name: np.asarray(value) for name, value in network({"moving": first, "fixed": second}).items()}


@pytest.fixture(params=((15, 18), (9, 10, 11)), ids=("2-D", "3-D"))
def shape(request):
    return request.param


@pytest.fixture
def images(rng, shape):
    return rng.random((2, 1, *shape, 1), dtype="float32")


def test_swapping_the_images_swaps_every_answer(shape, images):
    network = moving(VxmPyramid(shape, features=(4, 6), iterations=(2, 2), outputs=EVERYTHING))
    there, back = answer(network, *images), answer(network, *images[::-1])
    assert np.abs(there["velocity"]).max() > 0.1
    np.testing.assert_allclose(there["velocity"], -back["velocity"], atol=1e-5)
    np.testing.assert_allclose(there["displacement"], back["inverse_displacement"], atol=1e-5)
    np.testing.assert_allclose(there["moved"], back["fixed_moved"], atol=1e-5)


def test_two_equal_images_stay_where_they_are(shape, images):
    network = moving(VxmPyramid(shape, features=(4, 6), iterations=(2, 2)))
    displacement = answer(network, images[0], images[0])["displacement"]
    np.testing.assert_allclose(displacement, 0.0, atol=1e-4)


def test_the_inverse_undoes_the_displacement():
    network = moving(VxmPyramid((32, 40), features=(4, 6), iterations=(2, 2), outputs=EVERYTHING), size=0.02)
    images = np.asarray(ops.window_mean(np.random.default_rng(1).random((2, 32, 40, 1), dtype="float32"), 7))[:, None]
    found = answer(network, *images)
    around = np.asarray(ops.displacement.compose(found["displacement"], found["inverse_displacement"]))
    inside = around[:, 6:-6, 6:-6]
    assert np.abs(inside).max() < 0.1 * np.abs(found["displacement"]).max()
    assert metrics.non_diffeomorphic_volume(found["displacement"][0]) == 0.0


def test_the_displacement_is_the_integral_of_the_velocity(shape, images):
    network = moving(VxmPyramid(shape, features=(4, 6), iterations=(2, 2), integration_steps=3, outputs=EVERYTHING))
    found = answer(network, *images)
    velocity = found["velocity"]
    padded = [size + -size % 4 for size in shape]
    assert velocity.shape == (1, *(size // 2 for size in padded), len(shape))
    fine = np.asarray(ops.resize(np.asarray(ops.integrate(velocity, 3)), padded))
    np.testing.assert_allclose(
        found["displacement"], fine[(slice(None), *(slice(0, size) for size in shape))], atol=1e-5
    )


def test_each_image_goes_the_whole_way_to_look_at_the_other():
    velocity = np.zeros((1, 8, 10, 2), "float32")
    velocity[..., 1] = 2.0
    cells = vxm_pyramid._there_and_back(velocity, {"integration_steps": 7}, "test")
    np.testing.assert_allclose(cells[0], velocity[0], atol=1e-5)
    np.testing.assert_allclose(cells[1], -velocity[0], atol=1e-5)


def test_an_untrained_network_registers_a_known_deformation(rng):
    """A bump of 3 voxels on a smooth image, without a step of training."""
    shape = (48, 56)
    image = np.asarray(ops.window_mean(np.asarray(ops.window_mean(rng.random((1, *shape, 1)).astype("float32"), 5)), 5))
    image = (image - image.min()) / np.ptp(image)
    x, y = np.meshgrid(*(np.linspace(-1.0, 1.0, size) for size in shape), indexing="ij")
    true = np.zeros((1, *shape, 2), "float32")
    true[0, ..., 0] = 3.0 * np.exp(-4.0 * (x**2 + y**2))
    fixed = np.asarray(ops.warp(image, true))
    network = VxmPyramid(shape, features=(4, 4, 4), iterations=(8, 8, 8))
    found = answer(network, image, fixed)["displacement"]
    inside = true[0, ..., 0] > 1.0
    error = np.linalg.norm((found - true)[0][inside], axis=-1).mean()
    assert error < 0.33 * true[0, ..., 0][inside].mean()


def test_edges_align_an_image_with_an_inverted_one(rng):
    """A disk shifted by 3 voxels; what is bright in the one is dark in the other, on one dark background."""
    x, y = np.meshgrid(np.arange(48.0), np.arange(56.0), indexing="ij")
    head = 1.0 / (1.0 + np.exp(np.hypot(x - 24, y - 28) - 20))
    disks = [1.0 / (1.0 + np.exp(np.hypot(x - 24 - shift, y - 28) - 9)) for shift in (0.0, 3.0)]
    images = [head * (0.3 + 0.5 * disks[0]), head * (0.8 - 0.5 * disks[1])]
    images = [image[None, ..., None].astype("float32") for image in images]
    network = VxmPyramid((48, 56), features=(4, 4), iterations=(8, 8), descriptor="edges")
    displacement = answer(network, *images)["displacement"][0, ..., 0]
    rim = (disks[1] > 0.3) & (disks[1] < 0.7)
    assert displacement[rim].mean() == pytest.approx(-3.0, abs=0.9)


def test_all_steps_of_a_grid_share_their_weights_but_for_the_rates():
    few, many = (VxmPyramid((16, 16), features=(4, 4), iterations=(n, n)) for n in (1, 5))
    assert many.count_params() == few.count_params() + 2 * 4


def test_a_grid_without_steps_is_only_corrected(shape, images):
    network = VxmPyramid(shape, features=(4, 6), iterations=(0, 2), outputs="velocity")
    names = [layer.name for layer in network.layers]
    assert "force_1" in names and "force_0" not in names
    before = answer(network, *images)["velocity"]
    assert np.abs(answer(moving(network), *images)["velocity"] - before).max() > 0.1


def multiply_adds(network, shape):
    """Of all convolutions for one pair."""
    specs = {name: tf.TensorSpec((1, *shape, 1)) for name in ("moving", "fixed")}
    graph = tf.function(lambda images: network(images)).get_concrete_function(specs).graph
    convolutions = [op for op in graph.get_operations() if op.type == "Conv3D"]
    return sum(np.prod(op.inputs[1].shape[:-1]) * np.prod(op.outputs[0].shape) for op in convolutions)


def test_base_is_no_dearer_than_the_default_of_voxelmorph_and_small_a_quarter_at_most():
    shape = (32, 32, 32)
    default = multiply_adds(VxmDense.from_preset("default", shape), shape)
    assert default / 32**3 == pytest.approx(74_473, abs=1)
    assert multiply_adds(VxmPyramid.from_preset("base", shape), shape) <= default
    assert multiply_adds(VxmPyramid.from_preset("small", shape), shape) <= default / 4


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_knows_its_network(name):
    network = from_preset(name, (16, 32), channels=2)
    assert type(network) is (VxmDense if name in DENSE else VxmPyramid)
    assert set(PRESETS) == {*DENSE, *PYRAMIDS}
    assert {key: network.settings[key] for key in PRESETS[name]} == PRESETS[name]


@pytest.mark.parametrize(
    "settings, message",
    (
        ({"channels": (1, 2)}, "equal channels; got 1 and 2"),
        ({"features": 4}, "one number for each grid, finest first; got features 4"),
        ({"iterations": (1, 2)}, r"got features \(4,\) and iterations \(1, 2\)"),
        ({"features": (), "iterations": ()}, r"got features \(\) and iterations \(\)"),
        ({"integration_steps": 0}, "integration_steps is 1 or more"),
        ({"descriptor": "colour"}, "descriptor is 'intensity' or 'edges'; got 'colour'"),
        ({"outputs": "mask"}, "no output 'mask'"),
    ),
)
def test_settings_that_make_no_network_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VxmPyramid((16, 16), **{"features": (4,), "iterations": (1,), **settings})
