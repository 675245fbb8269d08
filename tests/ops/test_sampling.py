"""Values between voxels, against `scipy.ndimage.map_coordinates`."""

import numpy as np
import pytest
from scipy import ndimage

from vxm_tf import ops
from vxm_tf.ops import sampling

DTYPES = ["uint8", "int8", "int16", "int32", "int64", "float16", "float64", "bool"]
BOTH = pytest.mark.parametrize("interpolation", ["linear", "nearest"])


def scipy_sample(image, locations, interpolation, fill_mode, fill_value):
    """One channel of one item at a time."""
    order = {"linear": 1, "nearest": 0}[interpolation]
    values = np.empty((*locations.shape[:-1], image.shape[-1]))
    for item, channel in np.ndindex(len(image), image.shape[-1]):
        coordinates = np.moveaxis(locations[item], -1, 0).astype("float64")
        values[item, ..., channel] = ndimage.map_coordinates(
            image[item, ..., channel].astype("float64"), coordinates, order=order, mode=fill_mode, cval=fill_value
        )
    return values


def random_locations(rng, shape, *, outside, number=200, batch=2):
    """Locations up to `outside` voxels beyond the faces; negative: that far inside."""
    sizes = np.array(shape) - 1.0
    return rng.uniform(-outside, sizes + outside, (batch, number, len(shape))).astype("float32")


@BOTH
@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
@pytest.mark.parametrize("outside", [-0.1, 3.0], ids=["inside", "beyond the faces"])
def test_sample_agrees_with_scipy(any_shape, rng, interpolation, fill_mode, outside):
    image = rng.random((2, *any_shape, 3), "float32")
    locations = random_locations(rng, any_shape, outside=outside)
    expected = scipy_sample(image, locations, interpolation, fill_mode, 7.0)
    result = ops.sample(image, locations, interpolation, fill_mode, 7.0)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@BOTH
@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
def test_every_voxel_is_reproduced_at_its_own_index_faces_included(shape, rng, positions, interpolation, fill_mode):
    image = rng.normal(size=(1, *shape, 2)).astype("float32")
    result = ops.sample(image, positions(shape)[None], interpolation, fill_mode, 7.0)
    np.testing.assert_array_equal(result, image)


@BOTH
def test_constant_fill_begins_one_rounding_step_beyond_the_outermost_centres(interpolation):
    image = np.array([5.0, 6.0, 8.0], "float32").reshape(1, 3, 1)
    borders = np.array([0.0, 2.0], "float32")
    beyond = np.array([-1e-6, np.nextafter(np.float32(2), np.float32(3))], "float32")
    locations = np.concatenate([borders, beyond]).reshape(1, 4, 1)
    result = np.asarray(ops.sample(image, locations, interpolation, "constant", 9.0))
    np.testing.assert_array_equal(result.ravel(), [5.0, 8.0, 9.0, 9.0])


def test_nearest_takes_halves_to_the_even_index():
    image = np.arange(6).reshape(1, 6, 1)
    locations = np.array([0.5, 1.5, 2.5, 3.5, -0.5, 5.5], "float32").reshape(1, 6, 1)
    result = np.asarray(ops.sample(image, locations, "nearest"))
    np.testing.assert_array_equal(result.ravel(), [0, 2, 2, 4, 0, 5])


@pytest.mark.parametrize("dtype", DTYPES)
def test_nearest_keeps_the_type_of_the_image(rng, dtype):
    image = rng.integers(0, 2, (1, 5, 6, 1)).astype(dtype)
    assert ops.sample(image, np.zeros((1, 4, 2)), "nearest").dtype == dtype


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
def test_constant_fill_is_given_in_the_type_of_the_labels(dtype):
    labels = np.array([[3, 4]], dtype)[..., None]
    result = ops.sample(labels, np.array([[[-2.0], [1.0]]]), "nearest", "constant", 100.0)
    assert result.dtype == dtype
    np.testing.assert_array_equal(np.asarray(result).ravel(), [100, 4])


def test_nearest_invents_no_label(shape, rng):
    labels = rng.choice([0, 17, 1035, 2035], (1, *shape, 1))
    result = ops.sample(labels, random_locations(rng, shape, outside=3.0, batch=1), "nearest")
    assert set(np.unique(result)) == {0, 17, 1035, 2035}


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_gives_float32_for_every_type(dtype):
    image = np.array([0, 1], dtype).reshape(1, 2, 1)
    result = ops.sample(image, np.full((1, 1, 1), 0.25, "float32"))
    assert result.dtype == "float32"
    assert float(result[0, 0, 0]) == 0.25


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_location_that_is_no_number_leaves_the_others_alone(shape, rng, interpolation, bad):
    image = rng.random((1, *shape, 1), "float32")
    locations = random_locations(rng, shape, outside=1.0, batch=1)
    expected = np.asarray(ops.sample(image, locations, interpolation))
    locations[0, 7] = bad
    result = np.asarray(ops.sample(image, locations, interpolation))
    np.testing.assert_array_equal(np.delete(result, 7, axis=1), np.delete(expected, 7, axis=1))


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_location_that_is_no_number_is_outside(interpolation, bad):
    image = np.ones((1, 4, 5, 1), "float32")
    result = ops.sample(image, np.array([[[bad, 2.0]]], "float32"), interpolation, "constant", 3.0)
    assert float(result[0, 0, 0]) == 3.0


@BOTH
def test_infinite_locations_repeat_the_edge(interpolation):
    image = np.array([5.0, 6.0, 8.0], "float32").reshape(1, 3, 1)
    result = np.asarray(ops.sample(image, np.array([[[-np.inf], [np.inf]]], "float32"), interpolation))
    np.testing.assert_array_equal(result.ravel(), [5.0, 8.0])


@BOTH
def test_locations_may_have_any_arrangement(rng, interpolation):
    image = rng.random((2, 5, 6, 3), "float32")
    locations = rng.uniform(0, 4, (2, 12, 2)).astype("float32")
    listed = np.asarray(ops.sample(image, locations, interpolation))
    arranged = ops.sample(image, locations.reshape(2, 3, 1, 4, 2), interpolation)
    np.testing.assert_array_equal(arranged, listed.reshape(2, 3, 1, 4, 3))
    np.testing.assert_array_equal(ops.sample(image, locations[:, 0], interpolation), listed[:, 0])


@BOTH
def test_batch_items_are_independent(shape, rng, interpolation):
    image = rng.random((3, *shape, 2), "float32")
    locations = random_locations(rng, shape, outside=2.0, batch=3)
    alone = [ops.sample(image[i : i + 1], locations[i : i + 1], interpolation)[0] for i in range(3)]
    np.testing.assert_array_equal(ops.sample(image, locations, interpolation), np.stack(alone))


@BOTH
def test_an_axis_of_one_voxel_repeats_it(interpolation):
    image = np.array([[1.0, 2.0, 4.0]], "float32").reshape(1, 1, 3, 1)
    locations = np.array([[[-3.0, 1.0], [0.0, 1.0], [0.4, 1.0], [5.0, 1.0]]], "float32")
    np.testing.assert_array_equal(np.asarray(ops.sample(image, locations, interpolation)).ravel(), [2.0] * 4)


def test_gradient_of_the_values(shape, rng, check_gradient):
    image = rng.random((2, *shape, 2), "float32")
    locations = random_locations(rng, shape, outside=2.0, number=50)
    check_gradient(lambda image: ops.sample(image, locations), image)


def test_gradient_of_the_locations(shape, rng, check_gradient):
    image = rng.random((2, *shape, 2), "float32")
    cells = rng.integers(-1, np.array(shape), (2, 50, len(shape)))
    locations = (cells + rng.uniform(0.2, 0.8, cells.shape)).astype("float32")
    check_gradient(lambda locations: ops.sample(image, locations), locations)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interpolation": "cubic"}, "interpolation must be one of 'linear', 'nearest'; got 'cubic'"),
        ({"fill_mode": "wrap"}, "fill_mode must be one of 'nearest', 'constant'; got 'wrap'"),
    ],
)
def test_unknown_options_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ops.sample(np.zeros((1, 4, 5, 1)), np.zeros((1, 3, 2)), **settings)


def test_locations_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match=r"2 spatial axes, so locations need 2 components .* got shape \(1, 3, 3\)"):
        ops.sample(np.zeros((1, 4, 5, 1)), np.zeros((1, 3, 3)))


@BOTH
@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
@pytest.mark.parametrize("batch", [1, 3])
def test_an_image_too_large_for_one_index_is_sampled_in_parts_with_equal_values(
    any_shape, rng, monkeypatch, interpolation, fill_mode, batch
):
    image = rng.normal(size=(batch, *any_shape, 2)).astype("float32")
    locations = random_locations(rng, any_shape, outside=3.0, batch=batch)
    # Halves between voxels, and every voxel's own index.
    locations[:, :100] = np.round(2 * locations[:, :100]) / 2
    expected = np.asarray(ops.sample(image, locations, interpolation, fill_mode, 7.0))
    monkeypatch.setattr(sampling, "LARGEST_INT32", image.size // (3 * batch))
    np.testing.assert_array_equal(np.asarray(ops.sample(image, locations, interpolation, fill_mode, 7.0)), expected)


def test_voxels_beyond_32_bits_are_told_from_the_first(monkeypatch):
    """The index computation alone: the largest number of a row that is ever looked up stays below the limit."""
    looked_up = []
    take = sampling.ops.take
    monkeypatch.setattr(sampling, "LARGEST_INT32", 100)
    monkeypatch.setattr(
        sampling.ops,
        "take",
        lambda table, index, axis: looked_up.append(int(np.max(index))) or take(table, index, axis),
    )
    image = np.arange(2 * 9 * 10 * 11, dtype="int32").reshape(2, 9, 10, 11, 1)
    last = np.array([[[8, 9, 10]], [[0, 0, 0]]], "float32")
    assert np.asarray(ops.sample(image, last, "nearest")).ravel().tolist() == [989, 990]
    assert max(looked_up) < 100


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1300, 1300, 1300, 1), (17, 512, 512, 512, 1)])
def test_the_last_voxel_of_an_image_of_more_than_two_thousand_million(shape):
    image = np.zeros(shape, "uint8")
    image[-1, -1, -1, -1, 0], image[0, 5, 6, 7, 0] = 200, 9
    locations = np.broadcast_to(np.array([[size - 1 for size in shape[1:-1]], [5, 6, 7]], "float32"), (shape[0], 2, 3))
    values = np.asarray(ops.sample(image, locations, "nearest"))[..., 0]
    assert values[-1, 0] == 200 and values[0, 1] == 9
