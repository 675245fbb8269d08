"""The force between two images, against loops and against known shifts."""

import itertools

import numpy as np
import pytest

from vxm_tf import ops


def smooth_image(rng, shape):
    image = rng.random((1, *shape, 1)).astype("float32")
    for _ in range(3):
        image = np.asarray(ops.window_mean(image, 5))
    return (image - image.min()) / np.ptp(image)


def boxes(values, half):
    """Mean over a box around each entry that ends at the border, by loops; `[*spatial]`."""
    answer = np.empty_like(values)
    for index in np.ndindex(values.shape):
        answer[index] = values[tuple(slice(max(k - half, 0), k + half + 1) for k in index)].mean()
    return answer


def cells(values):
    """Mean over blocks of two voxels."""
    answer = np.zeros([size // 2 for size in values.shape])
    for offset in itertools.product((0, 1), repeat=values.ndim):
        answer += values[tuple(slice(k, None, 2) for k in offset)]
    return answer / 2**values.ndim


def voxels(values):
    return np.kron(values, np.ones([2] * values.ndim))


def by_hand(first, second, window, damping):
    """(force on the first, correlation), of images `[*spatial]`."""
    half = window // 2
    mean = [boxes(cells(image), half) for image in (first, second)]
    inverse = [
        (boxes(cells(image**2), half) - average**2 + 1e-5) ** -0.5 for image, average in zip((first, second), mean)
    ]
    correlation = (boxes(cells(first * second), half) - mean[0] * mean[1]) * inverse[0] * inverse[1]
    one, two = ((image - voxels(m)) * voxels(i) for image, m, i in zip((first, second), mean, inverse))
    gap = voxels(correlation) * (two - voxels(correlation) * one)
    # `gradient` is one-sided at both ends, as ours.
    slopes = np.gradient(first) if first.ndim > 1 else [np.gradient(first)]
    left = boxes(cells(sum(slope**2 for slope in slopes)) * inverse[0] ** 2, 1)
    right = [boxes(cells(gap * slope) * inverse[0], 1) for slope in slopes]
    return np.stack(right, axis=-1) / (2.0 * (left + damping))[..., None], correlation


@pytest.mark.parametrize("shape", ((16,), (12, 10), (6, 8, 10)))
def test_it_is_the_damped_least_squares_of_every_neighbourhood(rng, shape):
    first, second = smooth_image(rng, shape), smooth_image(rng, shape)
    on_first, on_second, correlation = (np.asarray(t)[0] for t in ops.alignment_force(first, second, 3, 0.2))
    one, two = (image[0, ..., 0].astype("float64") for image in (first, second))
    for found, images in ((on_first, (one, two)), (on_second, (two, one))):
        np.testing.assert_allclose(found, by_hand(*images, 3, 0.2)[0], atol=2e-4)
    np.testing.assert_allclose(correlation[..., 0], by_hand(one, two, 3, 0.2)[1], atol=2e-4)
    assert np.abs(on_first).max() > 0.05


@pytest.mark.parametrize("contrast", (1.0, 0.3, -1.0), ids=("same", "fainter", "inverted"))
def test_each_image_is_pulled_towards_the_other_whatever_its_contrast(contrast):
    """A wave shifted by half a voxel along one axis: a quarter of a cell for the one, minus that for the other."""
    x, y = np.meshgrid(np.arange(48.0), np.arange(40.0), indexing="ij")
    first, second = (0.5 + 0.2 * np.sin((x + shift) / 3.0) + 0.2 * np.sin(y / 3.0) for shift in (0.0, 0.5))
    second = 0.5 + contrast * (second - 0.5)
    images = [image[None, ..., None].astype("float32") for image in (first, second)]
    on_first, on_second, correlation = (np.asarray(t)[0, 5:-5, 5:-5] for t in ops.alignment_force(*images, 5, 0.0))
    assert (np.sign(contrast) * correlation > 0.9).all()
    # Too short by up to two times for the two axes, and for the slope that the local mean takes away.
    for force, way in ((on_first, 1.0), (on_second, -1.0)):
        assert 0.04 < way * force[..., 0].mean() < 0.3
        assert abs(force[..., 1].mean()) < 0.02


def test_equal_images_and_flat_ones_rest(rng):
    image = smooth_image(rng, (12, 14))
    for other in (image, np.full_like(image, 0.5)):
        on_first, on_second, _ = ops.alignment_force(image, other)
        np.testing.assert_allclose(on_first, 0.0, atol=2e-3)
        np.testing.assert_allclose(on_second, 0.0, atol=2e-3)


def test_channels_pull_together(rng):
    first, second = smooth_image(rng, (12, 14)), smooth_image(rng, (12, 14))
    once = ops.alignment_force(first, second, 5, 0.0)
    twice = ops.alignment_force(*(np.repeat(image, 2, axis=-1) for image in (first, second)), 5, 0.0)
    for one, two in zip(once, twice):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize(
    "shapes, window, message",
    (
        (((1, 8, 2), (1, 8, 3)), 5, "on one grid; got shapes"),
        (((1, 7, 2), (1, 7, 2)), 5, "sizes are even; got shape"),
        (((1, 8, 2), (1, 8, 2)), 4, "its edge is odd"),
    ),
)
def test_what_cannot_pull_is_refused(shapes, window, message):
    with pytest.raises(ValueError, match=message):
        ops.alignment_force(*(np.zeros(shape, "float32") for shape in shapes), window)
