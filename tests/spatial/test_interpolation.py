"""Interpolation at any location against one voxel after another in NumPy."""

import itertools

import numpy as np
import pytest

from vxm_tf.spatial import interpolation
from vxm_tf.spatial.interpolation import answer_dtype, interpolate, native


def by_hand(array, indices):
    """Linear, edges repeated: the sum over the corners of a location's cell."""
    answer = np.zeros((len(indices), array.shape[-1]))
    for number, location in enumerate(indices):
        location = np.clip(location, 0, np.array(array.shape[:-1]) - 1)
        low = np.floor(location).astype(int)
        for corner in itertools.product((0, 1), repeat=len(low)):
            weight = np.prod(np.where(corner, location - low, 1 - (location - low)))
            if weight:
                answer[number] += weight * array[tuple(low + corner)]
    return answer


@pytest.fixture
def array(rng, any_shape):
    return rng.normal(size=(*any_shape, 2)).astype("float32")


@pytest.fixture
def indices(rng, any_shape):
    """As many outside as a location well around the grid has."""
    return rng.uniform(-2, np.array(any_shape) + 1, (80, len(any_shape)))


def test_linear_is_the_weighted_sum_of_the_corners(array, indices):
    answer = interpolate(array, indices, fill_value=None)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, by_hand(array, indices), atol=1e-5)


def test_more_than_half_a_voxel_outside_there_is_the_fill_value(array, indices):
    outside = np.any((indices < -0.5) | (indices > np.array(array.shape[:-1]) - 0.5), axis=1)
    assert 0 < outside.sum() < len(outside)
    answer = interpolate(array, indices, fill_value=-7.0)
    np.testing.assert_allclose(answer, np.where(outside[:, None], -7.0, by_hand(array, indices)), atol=1e-5)


@pytest.mark.parametrize("fill_value", [None, 0.0])
def test_nearest_is_the_voxel_next_to_it(array, indices, fill_value):
    nearest = np.clip(np.round(indices).astype(int), 0, np.array(array.shape[:-1]) - 1)
    expected = array[tuple(nearest.T)]
    if fill_value is not None:
        expected[np.any((indices < -0.5) | (indices > np.array(array.shape[:-1]) - 0.5), axis=1)] = fill_value
    np.testing.assert_array_equal(interpolate(array, indices, "nearest", fill_value), expected)


def test_a_ramp_stays_a_ramp(any_shape, positions, rng):
    slope = rng.normal(size=len(any_shape))
    indices = rng.uniform(0, np.array(any_shape) - 1, (4, 5, len(any_shape)))
    answer = interpolate((positions(any_shape) @ slope)[..., None], indices)
    assert (answer.shape, answer.dtype) == ((4, 5, 1), np.float64)
    np.testing.assert_allclose(answer[..., 0], indices @ slope, atol=1e-12)


def test_pieces_in_any_number_give_the_same(array, indices, monkeypatch):
    expected = interpolate(array, indices)
    monkeypatch.setattr(interpolation, "_CHUNK", 7)
    np.testing.assert_array_equal(interpolate(array, indices), expected)


@pytest.mark.parametrize("how", ["linear", "nearest"])
def test_no_locations_no_values(how):
    assert interpolate(np.zeros((4, 5, 2)), np.zeros((0, 2)), how).shape == (0, 2)


def test_one_location_is_one_value():
    np.testing.assert_allclose(interpolate(np.arange(20.0).reshape(4, 5, 1), [1.5, 2.0]), [9.5])


def test_an_axis_of_one_voxel_is_one_voxel_wide():
    array = np.arange(5.0, 10.0).reshape(1, 5, 1)
    values = interpolate(array, [[0, 2], [0.4, 2], [-0.4, 2.5], [0.6, 2], [-0.6, 2]])[:, 0]
    np.testing.assert_allclose(values, [7, 7, 7.5, 0, 0])


def test_a_location_that_is_not_a_number_is_outside():
    np.testing.assert_array_equal(interpolate(np.ones((4, 5, 1)), [[np.nan, 1.0], [1.0, np.inf]]), 0.0)


@pytest.mark.parametrize(
    "stored, linear, nearest",
    [
        ("bool", "float32", "bool"),
        ("uint8", "float32", "uint8"),
        (">i2", "float32", "int16"),
        ("int32", "float32", "int32"),
        ("uint64", "float32", "uint64"),
        ("float16", "float32", "float32"),
        ("float32", "float32", "float32"),
        (">f4", "float32", "float32"),
        ("float64", "float64", "float64"),
        (">f8", "float64", "float64"),
        ("longdouble", "float64", "float64"),
    ],
)
def test_every_type_of_array_gives_the_same_values(rng, stored, linear, nearest):
    array = rng.integers(0, 2 if stored == "bool" else 100, (6, 7, 2))
    indices = rng.uniform(-1, 7, (40, 2))
    for how, dtype in (("linear", linear), ("nearest", nearest)):
        answer = interpolate(array.astype(stored), indices, how)
        assert answer.dtype == np.dtype(dtype) and answer.dtype.isnative
        np.testing.assert_allclose(answer, interpolate(array.astype("float64"), indices, how), atol=1e-4)


def test_labels_of_many_digits_stay_as_they_are():
    labels = np.array([2**31 - 1, 2**31 - 3, -(2**31)], "int32")[:, None]
    np.testing.assert_array_equal(interpolate(labels, [[0.2], [0.9], [2.1]], "nearest"), labels)


def test_fractions_are_kept_in_double_precision_whatever_the_byte_order():
    array = np.array([1.0, 1.0 + 1e-12])[:, None].astype(">f8")
    assert interpolate(array, [[1.0]])[0, 0] - 1.0 > 9e-13


def test_an_array_as_the_machine_has_it_is_not_copied():
    for dtype in ("uint8", "int32", "float32", "float64"):
        array = np.zeros((3, 4), dtype)
        assert native(array) is array


@pytest.mark.parametrize("dtype, fill_value", [("uint8", -1), ("uint8", 0.5), ("int16", 40000), ("int16", np.nan)])
def test_a_fill_value_that_the_type_cannot_hold_is_refused(dtype, fill_value):
    array = np.zeros((3, 4, 1), dtype)
    with pytest.raises(ValueError, match=f"voxels of type {dtype} cannot hold"):
        interpolate(array, [[1.0, 1.0]], "nearest", fill_value)
    assert answer_dtype(array.dtype, "linear", fill_value) == np.float32
    assert answer_dtype(np.dtype("float32"), "nearest", fill_value) == np.float32


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(ValueError, match="'nearest', 'linear'; got 'cubic'"):
        interpolate(np.zeros((3, 4, 1)), [[1.0, 1.0]], "cubic")
