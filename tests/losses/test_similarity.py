"""LNCC and MSE against loops over voxels in float64."""

import numpy as np
import pytest
import tensorflow as tf

from vxm_tf import losses
from vxm_tf.losses import similarity


def brute_correlation(first, second, index, window, epsilon=1e-9):
    """cc at one voxel of one channel of one item, over the part of its box inside the image."""
    box = tuple(slice(max(i - window // 2, 0), i + window // 2 + 1) for i in index)
    first, second = first[box].astype("float64").ravel(), second[box].astype("float64").ravel()
    covariance = np.mean((first - first.mean()) * (second - second.mean()))
    return covariance**2 / (first.var() * second.var() + epsilon)


def brute_lncc(first, second, window):
    """The loss of every batch item."""
    batch, *shape, channels = first.shape
    scores = np.empty(first.shape)
    for item, *index, channel in np.ndindex(first.shape):
        image, other = first[item, ..., channel], second[item, ..., channel]
        scores[(item, *index, channel)] = brute_correlation(image, other, index, window)
    return -scores.reshape(batch, -1).mean(axis=1)


@pytest.fixture
def pair(rng):
    """Two images that are related but not alike."""

    def draw(shape, batch=2, channels=1):
        first, noise = rng.random((2, batch, *shape, channels), "float32")
        return first, 0.5 * first**2 + 0.5 * noise

    return draw


@pytest.mark.parametrize("window", [5, 21])
def test_lncc_is_the_mean_of_the_brute_force_correlations(shape, pair, window):
    """A window of 21 exceeds every axis."""
    first, second = pair(shape)
    result = losses.LNCC(window, reduction=None)(first, second)
    np.testing.assert_allclose(result, brute_lncc(first, second, window), atol=1e-5)


@pytest.mark.parametrize("place", ["corner", "face", "centre"])
@pytest.mark.parametrize("window", [5, 9])
def test_the_correlation_of_one_voxel_is_that_of_its_box(shape, pair, place, window):
    first, second = pair(shape)
    centre = [size // 2 for size in shape]
    index = {"corner": [size - 1 for size in shape], "face": [0, *centre[1:]], "centre": centre}[place]
    scores = np.asarray(similarity._local_correlation(first, second, window, 1e-9))
    expected = brute_correlation(first[0, ..., 0], second[0, ..., 0], index, window)
    assert scores[(0, *index, 0)] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("slope", [2.0, 0.1, -0.1, -3.0])
def test_lncc_of_an_image_and_its_linear_map_is_minus_one(any_shape, pair, slope):
    """A negative slope as much as a positive one."""
    image, _ = pair(any_shape)
    assert float(losses.LNCC(5)(image, slope * image + 0.7)) == pytest.approx(-1.0, abs=1e-3)


def test_lncc_is_symmetric(shape, pair):
    first, second = pair(shape)
    assert float(losses.LNCC(5)(first, second)) == pytest.approx(float(losses.LNCC(5)(second, first)), abs=1e-6)


def test_lncc_scores_every_channel_on_its_own(shape, pair):
    first, second = pair(shape, channels=3)
    loss = losses.LNCC(5, reduction=None)
    alone = [loss(first[..., c : c + 1], second[..., c : c + 1]) for c in range(3)]
    np.testing.assert_allclose(loss(first, second), np.mean(alone, axis=0), atol=1e-6)


def test_lncc_scores_every_batch_item_on_its_own(shape, pair):
    first, second = pair(shape)
    loss = losses.LNCC(5, reduction=None)
    alone = [float(loss(first[[i, i]], second[[i, i]])[0]) for i in range(2)]
    np.testing.assert_allclose(loss(first, second), alone, atol=1e-6)
    assert float(losses.LNCC(5)(first, second)) == pytest.approx(np.mean(alone), abs=1e-6)


def test_one_lncc_object_scores_2d_and_then_3d_and_then_2d_again(pair):
    loss = losses.LNCC(5)
    flat, deep = pair((15, 18)), pair((9, 10, 11))
    results = [float(loss(*images)) for images in (flat, deep, flat)]
    np.testing.assert_allclose(results, [brute_lncc(*images, 5).mean() for images in (flat, deep, flat)], atol=1e-5)


def test_a_brightness_of_ten_thousand_changes_lncc_by_less_than_a_thousandth(shape, pair):
    first, second = pair(shape)
    loss = losses.LNCC(5)
    assert float(loss(first + 1e4, second + 1e4)) == pytest.approx(float(loss(first, second)), abs=1e-3)


@pytest.mark.parametrize("level", [0.0, 0.7, 1.0])
def test_flat_windows_score_zero(shape, pair, level):
    image, _ = pair(shape)
    assert float(losses.LNCC(5)(np.full_like(image, level), image)) == pytest.approx(0.0, abs=1e-4)


def test_the_flat_half_of_an_image_scores_zero_and_the_rest_one():
    image = np.zeros((1, 20, 40, 1), "float32")
    image[:, :, 20:] = np.random.default_rng(0).random((1, 20, 20, 1), "float32")
    scores = np.asarray(similarity._local_correlation(image, 1 - image, 3, 1e-9))
    np.testing.assert_allclose(scores[:, :, :19], 0.0, atol=1e-4)
    np.testing.assert_allclose(scores[:, :, 22:], 1.0, atol=1e-2)


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_flat_windows_have_finite_gradients(shape, pair, level):
    image, flat = tf.constant(pair(shape)[0]), tf.fill((2, *shape, 1), level)
    with tf.GradientTape() as tape:
        tape.watch([image, flat])
        value = losses.LNCC(5)(flat, image) + losses.LNCC(5)(flat, flat)
    for gradient in tape.gradient(value, [image, flat]):
        assert np.isfinite(gradient).all()


def test_gradient_of_lncc(shape, pair, check_gradient):
    check_gradient(losses.LNCC(5, reduction=None), *pair(shape), step=1e-2)


def test_mse_is_the_mean_square_of_every_item_over_the_variance(shape, pair):
    first, second = pair(shape, channels=2)
    expected = ((first.astype("float64") - second) ** 2).reshape(2, -1).mean(axis=1) / 0.02**2
    np.testing.assert_allclose(losses.MSE(0.02, reduction=None)(first, second), expected, rtol=1e-5)


def test_mse_reduces_to_the_mean_over_the_batch(shape, pair):
    first, second = pair(shape)
    assert float(losses.MSE()(first, second)) == pytest.approx(np.mean((first - second) ** 2), rel=1e-5)


def test_gradient_of_mse(shape, pair, check_gradient):
    check_gradient(losses.MSE(0.5, reduction=None), *pair(shape))


@pytest.mark.parametrize("loss", [losses.LNCC(5), losses.MSE(10.0)], ids=["LNCC", "MSE"])
def test_half_precision_images_are_scored_in_float32(shape, pair, loss):
    """Squares of these intensities exceed float16, whose largest number is 65504."""
    first, second = ((1000 * image).astype("float16") for image in pair(shape))
    expected = float(loss(first.astype("float32"), second.astype("float32")))
    assert float(loss(first, second)) == pytest.approx(expected, rel=1e-6)
    assert loss(first, second).dtype == "float32"


@pytest.mark.parametrize("window", [0, -1, 4])
def test_lncc_refuses_windows_without_a_centre(window):
    with pytest.raises(ValueError, match=f"edge is odd and at least 1; got {window}"):
        losses.LNCC(window)


@pytest.mark.parametrize("image_sigma", [0, -0.1])
def test_mse_refuses_a_sigma_that_is_not_positive(image_sigma):
    with pytest.raises(ValueError, match=f"image_sigma .* must be positive; got {image_sigma}"):
        losses.MSE(image_sigma)
