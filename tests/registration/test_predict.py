"""A pair of arrays through a network whose displacement is known."""

import numpy as np
import pytest

from vxm_tf.data.warping import warp_array, warp_labels
from vxm_tf.registration import register_pair

# moved(x) = moving(x + u): with u = (2, -3) the content moves up by 2 and right by 3.
SHIFTS = {(15, 18): (2, -3), (9, 10, 11): (2, -3, 1)}


def shifted(array, shift):
    """array(x + shift), edges repeated, for whole numbers."""
    for axis, step in enumerate(shift):
        size = array.shape[axis]
        array = np.take(array, np.clip(np.arange(size) + step, 0, size - 1), axis=axis)
    return array


@pytest.fixture
def images(rng, shape):
    return tuple(rng.random((*shape, 1), dtype="float32") for _ in range(2))


def test_the_displacement_is_the_networks(constant_network, shape, images):
    result = register_pair(constant_network(shape, SHIFTS[shape]), *images)
    assert result.displacement.dtype == np.float32
    np.testing.assert_allclose(result.displacement, np.broadcast_to(SHIFTS[shape], (*shape, len(shape))), atol=1e-6)


def test_a_whole_shift_moves_the_image_by_a_slice(constant_network, shape, images):
    result = register_pair(constant_network(shape, SHIFTS[shape]), *images)
    np.testing.assert_allclose(result.moved, shifted(images[0], SHIFTS[shape]), atol=1e-5)


def test_a_fraction_of_a_voxel_interpolates_a_ramp(constant_network):
    ramp = np.linspace(0.0, 1.0, 18, dtype="float32") * np.ones((15, 1), "float32")
    result = register_pair(constant_network((15, 18), (0.0, 0.25)), ramp[..., None], ramp[..., None])
    np.testing.assert_allclose(result.moved[:, :-1, 0], ramp[:, :-1] + 0.25 / 17, atol=1e-6)


def test_a_network_for_any_shape_gives_the_same(constant_network, shape, images):
    result = register_pair(constant_network((None,) * len(shape), SHIFTS[shape]), *images)
    np.testing.assert_allclose(result.moved, shifted(images[0], SHIFTS[shape]), atol=1e-5)


def test_the_seconds_are_those_of_the_prediction(constant_network, images, shape):
    assert 0.0 < register_pair(constant_network(shape, SHIFTS[shape]), *images).seconds < 60.0


def test_labels_move_as_the_image_does(constant_network, shape, images, rng):
    labels = rng.integers(0, 5000, shape).astype("int32")
    moved = warp_labels(labels, register_pair(constant_network(shape, SHIFTS[shape]), *images).displacement)
    assert moved.dtype == np.int32
    np.testing.assert_array_equal(moved, shifted(labels, SHIFTS[shape]))


def test_labels_take_the_nearest_voxel_and_are_never_blended():
    labels = np.array([[0, 10, 10, 30]], "int32")
    displacement = np.zeros((1, 4, 2), "float32")
    displacement[..., 1] = 0.4
    np.testing.assert_array_equal(warp_labels(labels, displacement), labels)
    displacement[..., 1] = 0.6
    np.testing.assert_array_equal(warp_labels(labels, displacement), [[10, 10, 30, 30]])


def test_an_array_keeps_its_channels(rng):
    array = rng.random((15, 18, 3), dtype="float32")
    displacement = np.broadcast_to(np.array((2, -3), "float32"), (15, 18, 2))
    np.testing.assert_allclose(warp_array(array, displacement), shifted(array, (2, -3)), atol=1e-6)


@pytest.mark.parametrize("moving_shape, fixed_shape", [((9, 10), (13, 10)), ((13, 14), (9, 10)), ((9, 15), (12, 10))])
def test_a_moving_image_of_another_shape_is_centred_on_the_fixed_grid(constant_network, rng, moving_shape, fixed_shape):
    moving, fixed = (rng.random((*shape, 1), dtype="float32") for shape in (moving_shape, fixed_shape))
    result = register_pair(constant_network((None, None), (0, 0)), moving, fixed)
    assert result.moved.shape == (*fixed_shape, 1)
    assert result.displacement.shape == (*fixed_shape, 2)
    inside, outside = zip(*[_overlap(m, f) for m, f in zip(moving_shape, fixed_shape)])
    np.testing.assert_allclose(result.moved[outside], moving[inside], atol=1e-6)


def _overlap(moving, fixed):
    """(slice of the moving axis, slice of the fixed axis) where one lies in the middle of the other."""
    start = abs(moving - fixed) // 2
    whole, part = slice(None), slice(start, start + min(moving, fixed))
    return (part, whole) if moving > fixed else (whole, part)


@pytest.mark.parametrize("moving_shape, fixed_shape", [((9, 10), (13, 12)), ((13, 14), (9, 10)), ((9, 15), (12, 10))])
def test_labels_of_another_shape_land_where_the_network_moved_their_image(
    constant_network, rng, moving_shape, fixed_shape
):
    labels = rng.integers(0, 200, moving_shape).astype("int32")
    fixed = rng.random((*fixed_shape, 1), dtype="float32")
    result = register_pair(constant_network((None, None), (1, -2)), labels[..., None].astype("float32"), fixed)
    np.testing.assert_array_equal(warp_labels(labels, result.displacement), np.round(result.moved[..., 0]))


@pytest.mark.parametrize("which", ("moving", "fixed"))
def test_another_number_of_channels_is_refused_with_the_image_named(constant_network, rng, which):
    images = {name: rng.random((15, 18, 3 if name == which else 1), dtype="float32") for name in ("moving", "fixed")}
    with pytest.raises(ValueError, match=rf"{which} image with 2 spatial axes and 1 channel.*\(15, 18, 3\)"):
        register_pair(constant_network((15, 18), (0, 0)), **images)


def test_each_image_may_have_its_own_number_of_channels(constant_network, rng):
    moving, fixed = rng.random((15, 18, 2), dtype="float32"), rng.random((15, 18, 1), dtype="float32")
    result = register_pair(constant_network((15, 18), (2, -3), channels=(2, 1)), moving, fixed)
    np.testing.assert_allclose(result.moved, shifted(moving, (2, -3)), atol=1e-5)


def test_another_number_of_axes_is_refused(constant_network, rng):
    image = rng.random((9, 10, 11, 1), dtype="float32")
    with pytest.raises(ValueError, match="2 spatial axes"):
        register_pair(constant_network((9, 10), (0, 0)), image, image)
