"""Padding puts an array in the middle of a larger grid, cropping takes it out again."""

import numpy as np
import pytest

from vxm_tf.data.padding import common_shape, crop_from, pad_to


def test_the_common_shape_holds_every_shape():
    assert common_shape((3, 9, 4), (5, 2, 4), (1, 1, 6)) == (5, 9, 6)


def test_an_odd_voxel_goes_to_the_end():
    np.testing.assert_array_equal(pad_to(np.array([1, 2]), (5,), mode="constant"), [0, 1, 2, 0, 0])


def test_edges_are_repeated_by_default():
    np.testing.assert_array_equal(pad_to(np.array([1, 2]), (6,)), [1, 1, 1, 2, 2, 2])


def test_the_middle_stays_where_the_middle_is():
    image = np.zeros((5, 7))
    image[2, 3] = 1
    padded = pad_to(image, (9, 11))
    assert np.argwhere(padded).tolist() == [[4, 5]]


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("mode", ("edge", "constant"))
def test_cropping_undoes_padding(rng, shape, channels, mode):
    image = rng.random((*shape, *channels))
    for extra in (0, 1, 4, 5):
        padded = pad_to(image, tuple(size + extra for size in shape), mode)
        assert padded.shape == tuple(size + extra for size in shape) + channels
        np.testing.assert_array_equal(crop_from(padded, shape), image)


def test_a_size_that_fits_already_is_handed_back_as_it_is(rng):
    image = rng.random((4, 5, 2))
    assert pad_to(image, (4, 5)) is image
