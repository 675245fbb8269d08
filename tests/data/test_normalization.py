"""Intensities come into [0, 1] by the named method, each channel on its own."""

import numpy as np
import pytest

from vxm_tf.data import NORMALIZATIONS, normalize


@pytest.fixture
def image(rng):
    return rng.normal(300.0, 50.0, (15, 18, 2)).astype("float32")


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_every_method_keeps_shape_and_gives_float32(image, name):
    answer = normalize(image, name)
    assert (answer.shape, answer.dtype) == (image.shape, np.float32)


def test_minmax_maps_the_extremes_of_each_channel_to_0_and_1(image):
    low, high = image.min((0, 1)), image.max((0, 1))
    np.testing.assert_allclose(normalize(image, "minmax"), (image - low) / (high - low), atol=1e-6)


def test_percentile_maps_its_two_percentiles_to_0_and_1_and_clips(image):
    low, high = np.percentile(image, (0.5, 99.5), axis=(0, 1))
    expected = np.clip((image - low) / (high - low), 0.0, 1.0)
    np.testing.assert_allclose(normalize(image, "percentile"), expected, atol=1e-6)
    assert expected.min() == 0.0 and expected.max() == 1.0


def test_percentile_of_a_nearly_empty_image_falls_back_to_its_extremes():
    image = np.zeros((40, 40, 1), "float32")
    image[3, 4] = 8.0
    np.testing.assert_array_equal(normalize(image, "percentile"), image / 8.0)


def test_none_leaves_intensities_as_stored(image):
    np.testing.assert_array_equal(normalize(image, "none"), image)


@pytest.mark.parametrize("name", ("percentile", "minmax"))
def test_scaling_the_intensities_changes_nothing(image, name):
    np.testing.assert_allclose(normalize(3.0 * image + 100.0, name), normalize(image, name), atol=1e-5)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_constant_channel_beside_another_becomes_0(image, name):
    image[..., 1] = 5.0
    answer = normalize(image, name)
    assert not answer[..., 1].any()
    np.testing.assert_array_equal(answer[..., :1], normalize(image[..., :1], name))


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'zscore'.*percentile, minmax, none"):
        normalize(np.zeros((3, 3, 1), "float32"), "zscore")
