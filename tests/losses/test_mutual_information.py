"""Mutual information against a histogram filled voxel by voxel in float64."""

import numpy as np
import pytest
import tensorflow as tf

from vxm_tf import losses


def spline(distance):
    """The quadratic B-spline."""
    distance = abs(distance)
    if distance <= 0.5:
        return 0.75 - distance**2
    return 0.5 * (1.5 - distance) ** 2 if distance < 1.5 else 0.0


def brute_information(first, second, num_bins):
    """Of two lists of intensities: every voxel weighs on every bin, however far."""
    joint = np.zeros((num_bins, num_bins))
    for a, b in zip(first, second, strict=True):
        place = [np.clip(value, 0, 1) * (num_bins - 3) + 1 for value in (a, b)]
        rows, columns = ([spline(x - k) for k in range(num_bins)] for x in place)
        joint += np.outer(rows, columns)
    joint /= len(first)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return np.sum(joint[there] * np.log(joint[there] / independent[there]))


@pytest.fixture
def pair(rng):
    """Two images of which the second is told by the first, but for noise."""

    def draw(shape, batch=2, channels=1):
        first, noise = rng.random((2, batch, *shape, channels), "float32")
        return first, 0.8 * (first - 0.5) ** 2 + 0.3 * noise

    return draw


@pytest.mark.parametrize("num_bins", [4, 9])
def test_the_loss_is_minus_the_brute_force_information(shape, pair, num_bins):
    first, second = pair(shape)
    expected = [-brute_information(a.ravel(), b.ravel(), num_bins) for a, b in zip(first, second, strict=True)]
    loss = losses.MutualInformation(num_bins, reduction=None)(first, second)
    np.testing.assert_allclose(loss, expected, atol=1e-5)


def test_with_patches_it_is_the_mean_over_voxels_of_the_blocks(pair):
    """Axes of 15 and 18 voxels and blocks of about 5: three blocks of 5 by four of 4 or 5."""
    first, second = pair((15, 18), batch=1)
    rows, columns = ((2 * np.arange(size) + 1) * count // (2 * size) for size, count in ((15, 3), (18, 4)))
    total = 0.0
    for i in range(3):
        for j in range(4):
            block = np.ix_([0], rows == i, columns == j, [0])
            total += first[block].size * brute_information(first[block].ravel(), second[block].ravel(), 8)
    loss = losses.MutualInformation(8, patch=5)(first, second)
    assert float(loss) == pytest.approx(-total / first.size, abs=1e-5)


def test_a_patch_larger_than_the_image_is_the_whole_image(shape, pair):
    first, second = pair(shape)
    whole = float(losses.MutualInformation(8)(first, second))
    assert float(losses.MutualInformation(8, patch=100)(first, second)) == pytest.approx(whole, abs=1e-6)


def test_of_independent_images_it_is_nearly_zero(rng):
    first, second = rng.random((2, 1, 60, 70, 1), "float32")
    assert -0.02 < float(losses.MutualInformation(8)(first, second)) <= 0.0


@pytest.mark.parametrize("patch", [0, 6])
def test_inverting_one_image_changes_nothing(shape, pair, patch):
    first, second = pair(shape)
    loss = losses.MutualInformation(8, patch=patch)
    assert float(loss(first, 1 - second)) == pytest.approx(float(loss(first, second)), abs=1e-5)
    assert float(loss(first, second)) < -0.05


def test_it_is_symmetric(shape, pair):
    first, second = pair(shape)
    loss = losses.MutualInformation(8, patch=6)
    assert float(loss(first, second)) == pytest.approx(float(loss(second, first)), abs=1e-5)


def test_of_an_image_and_itself_it_is_lower_than_with_anything_else(shape, pair):
    first, second = pair(shape)
    loss = losses.MutualInformation(8)
    assert float(loss(first, first)) < float(loss(first, second))


def test_channels_and_items_are_scored_on_their_own(shape, pair):
    first, second = pair(shape, channels=2)
    loss = losses.MutualInformation(8, patch=6, reduction=None)
    alone = [[float(loss(first[[i]][..., [c]], second[[i]][..., [c]])[0]) for c in range(2)] for i in range(2)]
    np.testing.assert_allclose(loss(first, second), np.mean(alone, axis=1), atol=1e-5)


def test_a_constant_image_tells_nothing_and_has_a_finite_gradient(shape, pair):
    image = tf.constant(pair(shape)[0])
    flat = tf.zeros_like(image)
    with tf.GradientTape() as tape:
        tape.watch([image, flat])
        value = losses.MutualInformation(8, patch=6)(image, flat)
    assert float(value) == pytest.approx(0.0, abs=1e-5)
    for gradient in tape.gradient(value, [image, flat]):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("patch", [0, 6])
def test_gradient(shape, pair, check_gradient, patch):
    first, second = (0.1 + 0.6 * image for image in pair(shape))
    check_gradient(losses.MutualInformation(5, patch=patch, reduction=None), first, second, step=2e-2, rtol=1e-1)


def test_intensities_beyond_the_range_are_clipped(shape, pair):
    first, second = pair(shape)
    loss = losses.MutualInformation(8)
    wide = 2.0 * first - 0.5
    assert float(loss(wide, second)) == pytest.approx(float(loss(np.clip(wide, 0, 1), second)), abs=1e-6)


@pytest.mark.parametrize("settings", [{"num_bins": 3}, {"patch": -1}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=f"got .*{next(iter(settings.values()))}"):
        losses.MutualInformation(**settings)
