"""The force on an image, against numerical derivatives of a score by loops and against known shifts."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

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


def on_voxels(component):
    """One component of a displacement in cells, `[*cells]`, in voxels on the image's grid."""
    at = (np.indices([2 * size for size in component.shape]) + 0.5) / 2 - 0.5
    return 2 * ndimage.map_coordinates(component, at, order=1, mode="nearest")


def score(image, other, window):
    """Sum of the squared correlations of all boxes."""
    half = window // 2
    mean, mean_other = boxes(cells(image), half), boxes(cells(other), half)
    variance, variance_other = (boxes(cells(i**2), half) - m**2 for i, m in ((image, mean), (other, mean_other)))
    covariance = boxes(cells(image * other), half) - mean * mean_other
    return np.sum(covariance**2 / (variance * variance_other + 1e-5))


@pytest.mark.parametrize("shape", ((32,), (20, 18), (14, 14, 16)))
def test_it_is_the_derivative_of_the_score_along_the_slopes(rng, shape):
    image, other = smooth_image(rng, shape), smooth_image(rng, shape)
    ndim, grid = len(shape), tuple(size // 2 for size in shape)
    displacement = rng.standard_normal((1, *grid, ndim)).astype("float32")
    found = np.asarray(ops.alignment_force(image, other, displacement, 3))[0]
    fine = np.stack([on_voxels(part) for part in np.moveaxis(displacement[0], -1, 0)], axis=-1)[None]
    values = ops.displacement.warp_with_slopes(image, fine.astype("float32"))
    moved, *slopes = (np.asarray(value, "float64")[0, ..., 0] for value in values)
    two = other[0, ..., 0].astype("float64")
    # Three cells from the border no box is cut.
    for inside in itertools.islice(itertools.product(*(range(3, size - 3) for size in grid)), 0, None, 3):
        unit = np.zeros(grid)
        unit[inside] = 1e-4
        for axis, slope in enumerate(slopes):
            change = slope * on_voxels(unit)
            expected = (score(moved + change, two, 3) - score(moved - change, two, 3)) / 2e-4
            assert found[(*inside, axis)] == pytest.approx(expected, rel=0.02, abs=0.005)
    assert np.abs(found).max() > 0.1


@pytest.mark.parametrize("contrast", (1.0, 0.3, -1.0), ids=("same", "fainter", "inverted"))
def test_an_image_is_pulled_towards_the_other_whatever_its_contrast(contrast):
    """A wave that lies half a voxel ahead along one axis."""
    x, y = np.meshgrid(np.arange(48.0), np.arange(40.0), indexing="ij")
    image, other = (0.5 + 0.2 * np.sin((x + shift) / 3.0) + 0.2 * np.sin(y / 3.0) for shift in (0.0, 0.5))
    other = 0.5 + contrast * (other - 0.5)
    images = [values[None, ..., None].astype("float32") for values in (image, other)]
    force = np.asarray(ops.alignment_force(*images, np.zeros((1, 24, 20, 2), "float32")))[0, 4:-4, 4:-4]
    assert force[..., 0].mean() > 0.02
    assert abs(force[..., 1].mean()) < 0.1 * force[..., 0].mean()


def test_nothing_pulls_at_what_is_aligned_or_has_nothing_to_say(rng):
    image = smooth_image(rng, (24, 28)) * 4.0
    still = np.zeros((1, 12, 14, 2), "float32")
    assert np.abs(ops.alignment_force(image, smooth_image(rng, (24, 28)), still)).max() > 0.1
    for other in (image, np.full_like(image, 0.5)):
        np.testing.assert_allclose(ops.alignment_force(image, other, still), 0.0, atol=1e-2)


def test_channels_pull_together(rng):
    image, other = smooth_image(rng, (12, 14)), smooth_image(rng, (12, 14))
    still = np.zeros((1, 6, 7, 2), "float32")
    once = np.asarray(ops.alignment_force(image, other, still))
    twice = ops.alignment_force(np.repeat(image, 2, axis=-1), np.repeat(other, 2, axis=-1), still)
    np.testing.assert_allclose(2 * once, twice, atol=1e-5)


@pytest.mark.parametrize(
    "image, other, cells, window, message",
    (
        ((8, 2), (8, 3), 4, 5, "on its grid; got shapes"),
        ((7, 2), (7, 2), 4, 5, r"Pad the images"),
        ((8, 2), (8, 2), 8, 5, r"twice its size, an even one; got images of shape \(1, 8, 2\)"),
        ((8, 2), (8, 2), 4, 4, "its edge is odd"),
    ),
)
def test_what_cannot_pull_is_refused(image, other, cells, window, message):
    images = (np.zeros((1, *shape), "float32") for shape in (image, other))
    with pytest.raises(ValueError, match=message):
        ops.alignment_force(*images, np.zeros((1, cells, 1), "float32"), window)
