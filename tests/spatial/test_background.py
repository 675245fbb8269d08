"""The value that surrounds an image, and that a moved image gets outside its field of view."""

import numpy as np
import pytest

from vxm_tf.spatial import AffineTransform, Grid, SpatialImage
from vxm_tf.spatial.background import background_values, moved_image


def surrounded_by(value, inside):
    image = np.full((12, 14, 10, 1), value, "float32")
    image[3:9, 3:11, 3:7, 0] = inside
    return image


@pytest.mark.parametrize("value", (0.0, -1024.0, 255.0))
def test_the_background_is_the_value_around_the_object(rng, value):
    assert background_values(surrounded_by(value, rng.normal(40, 10, (6, 8, 4)))) == [value]


def test_a_background_of_zero_among_negative_values_stays_zero(rng):
    # A brain whose intensities were standardised, with zeros around it.
    assert background_values(surrounded_by(0.0, rng.normal(0, 1, (6, 8, 4)))) == [0.0]


def test_each_channel_has_a_background_of_its_own(rng):
    ct, mr = surrounded_by(-1000.0, 40.0), surrounded_by(0.0, 300.0)
    assert background_values(np.concatenate([ct, mr], axis=-1)) == [-1000.0, 0.0]


def test_noisy_air_is_the_background_of_ct_and_zero_that_of_other_images(rng):
    noise = rng.normal(0, 5, (12, 14, 10, 1))
    ct = surrounded_by(-1000.0, 40.0) + noise
    assert background_values(ct) == [ct.min()]
    assert background_values(surrounded_by(-3.0, 40.0) + noise) == [0.0]


def test_outside_the_field_of_view_each_channel_gets_its_background_or_the_given_value(rng):
    image = np.concatenate([surrounded_by(-1000.0, 40.0), surrounded_by(7.0, 300.0)], axis=-1)
    moving = SpatialImage(image, Grid((12, 14, 10), np.eye(4)))
    shift = np.eye(4)
    shift[0, 3] = 5
    moved = moved_image(moving, moving.grid, AffineTransform(shift))
    np.testing.assert_array_equal(moved[:7], image[5:])
    np.testing.assert_array_equal(moved[7:], np.broadcast_to((-1000.0, 7.0), (5, 14, 10, 2)))
    assert np.all(moved_image(moving, moving.grid, AffineTransform(shift), -5.0)[7:] == -5.0)
