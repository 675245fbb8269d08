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


@pytest.fixture
def norm_over_255(rng):
    """An image as the networks of 2018 saw: empty around, 114 / 255 at the 99.5th percentile."""
    image = np.zeros((40, 50, 1))
    image[5:35, 5:45] = rng.random((30, 40, 1)) + 0.1
    return (image * (114 / 255) / np.percentile(image, 99.5)).astype("float32")


@pytest.mark.parametrize("factor", [1.0, 400.0, 0.01])
def test_freesurfer_brings_any_scale_to_norm_over_255(norm_over_255, factor):
    answer = normalize(factor * norm_over_255, "freesurfer")
    np.testing.assert_allclose(answer, norm_over_255, rtol=1e-5, atol=0)
    assert np.percentile(answer, 99.5) == pytest.approx(114 / 255, rel=1e-5)


def test_freesurfer_treats_each_channel_on_its_own(norm_over_255):
    both = np.concatenate([norm_over_255, 7 * norm_over_255[::-1]], axis=-1)
    expected = np.concatenate([norm_over_255, norm_over_255[::-1]], axis=-1)
    np.testing.assert_allclose(normalize(both, "freesurfer"), expected, rtol=1e-5)


def test_freesurfer_of_a_nearly_empty_image_falls_back_to_its_extremes():
    image = np.zeros((40, 40, 1), "float32")
    assert not normalize(image, "freesurfer").any()
    image[3, 4] = 8.0
    np.testing.assert_array_equal(normalize(image, "freesurfer"), image / 8.0)


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'zscore'.*percentile, minmax, freesurfer, none"):
        normalize(np.zeros((3, 3, 1), "float32"), "zscore")
