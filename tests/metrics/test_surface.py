"""Surface distances of hand-made masks, and against loops over all pairs of voxels."""

import itertools

import numpy as np
import pytest

from vxm_tf import metrics


def brute_surface(mask):
    """Indices of the voxels of a mask with a face neighbour outside of it or of the image."""
    indices = []
    for index in map(tuple, np.argwhere(mask)):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            neighbour = list(index)
            neighbour[axis] += step
            if not 0 <= neighbour[axis] < mask.shape[axis] or not mask[tuple(neighbour)]:
                indices.append(index)
                break
    return np.array(indices)


def brute_distances(moved, fixed, spacing_mm):
    """The two directed sets of distances between two masks, in millimetres."""
    a, b = brute_surface(moved) * np.array(spacing_mm), brute_surface(fixed) * np.array(spacing_mm)
    pairs = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    return pairs.min(axis=1), pairs.min(axis=0)


@pytest.mark.parametrize(
    "offset, expected_mm", [((3, 0, 0), 3 * 1.5), ((0, 2, 0), 2 * 0.5), ((0, 0, 1), 2.0), ((2, 4, 0), 13**0.5)]
)
def test_two_voxels_apart(offset, expected_mm):
    moved = np.zeros((9, 10, 11), dtype="int32")
    fixed = np.zeros((9, 10, 11), dtype="int32")
    moved[4, 5, 6] = 12175
    fixed[tuple(np.array([4, 5, 6]) + offset)] = 12175
    distances = metrics.surface_distances(moved, fixed, 12175, spacing_mm=(1.5, 0.5, 2.0))
    assert distances.hausdorff95_mm == pytest.approx(expected_mm)
    assert distances.mean_mm == pytest.approx(expected_mm)


def test_nested_squares():
    # The ring of 6 x 6 has 20 voxels and the inner 4 x 4 ring 12: outward every inner voxel is 1 pixel away; inward
    # the 16 on the sides are 1 and the 4 corners sqrt(2) pixels away.
    moved = np.zeros((15, 18), dtype="uint8")
    fixed = np.zeros((15, 18), dtype="uint8")
    moved[4:8, 6:10] = 1
    fixed[3:9, 5:11] = 1
    distances = metrics.surface_distances(moved, fixed, 1, spacing_mm=(2.0, 2.0))
    assert distances.hausdorff95_mm == pytest.approx(2 * 2**0.5)
    assert distances.mean_mm == pytest.approx(2 * (12 + 16 + 4 * 2**0.5) / 32)


def test_percentile_is_taken_in_each_direction_before_the_maximum():
    # 100 voxels of a line lie on the other line, whose 10 voxels more lie 1 to 10 mm away: that way, 95 per cent of
    # 110 distances are at rank 103.55 of 0 to 109, between 4 and 5 mm; pooled or averaged, it would be less.
    moved = np.zeros((1, 120), dtype="uint8")
    fixed = np.zeros((1, 120), dtype="uint8")
    moved[0, :100] = 1
    fixed[0, :110] = 1
    for a, b in ((moved, fixed), (fixed, moved)):
        distances = metrics.surface_distances(a, b, 1, spacing_mm=(1.0, 1.0))
        assert distances.hausdorff95_mm == pytest.approx(4.55)
        assert distances.mean_mm == pytest.approx(55 / 210)


def test_border_of_the_image_is_surface():
    whole = np.ones((9, 10), dtype="uint8")
    middle = np.zeros((9, 10), dtype="uint8")
    middle[4, 5] = 1
    there, back = brute_distances(whole, middle, (1.0, 3.0))
    assert len(there) == 2 * 9 + 2 * 8
    distances = metrics.surface_distances(whole, middle, 1, spacing_mm=(1.0, 3.0))
    assert distances.mean_mm == pytest.approx(np.concatenate([there, back]).mean())
    assert back == pytest.approx([4.0])


@pytest.mark.parametrize("shape, spacing_mm", [((15, 18), (0.7, 2.5)), ((9, 10, 11), (3.0, 0.8, 1.2))])
def test_equals_loops_on_random_masks(shape, spacing_mm):
    rng = np.random.default_rng(2)
    for density in (0.05, 0.5, 0.9):
        moved = np.zeros(shape, dtype="int32")
        fixed = np.zeros(shape, dtype="int32")
        core = tuple(slice(1, -2) for _ in shape)
        moved[core] = 4 * (rng.random(moved[core].shape) < density)
        fixed[core] = 4 * (rng.random(fixed[core].shape) < density)
        there, back = brute_distances(moved == 4, fixed == 4, spacing_mm)
        distances = metrics.surface_distances(moved, fixed, 4, spacing_mm)
        assert distances.mean_mm == pytest.approx(np.concatenate([there, back]).mean())
        assert distances.hausdorff95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))


def test_equal_masks_are_no_distance_apart():
    labels = np.random.default_rng(3).integers(0, 2, (9, 10, 11))
    assert metrics.surface_distances(labels, labels, 1, (1, 1, 1)) == metrics.SurfaceDistance(0.0, 0.0)


def test_absent_label_has_no_distance():
    labels = np.zeros((15, 18), dtype="int32")
    labels[3, 4] = 1
    for moved, fixed, label in ((labels, 0 * labels, 1), (0 * labels, labels, 1), (labels, labels, 2)):
        distances = metrics.surface_distances(moved, fixed, label, (1.0, 1.0))
        assert np.isnan(distances.hausdorff95_mm) and np.isnan(distances.mean_mm)


def test_other_grids_and_spacings_are_refused():
    labels = np.ones((15, 18), dtype="int32")
    with pytest.raises(ValueError, match=r"\(15, 18\).*\(18, 15\)"):
        metrics.surface_distances(labels, labels.T, 1, (1.0, 1.0))
    for spacing_mm in (1.0, (1.0, 1.0, 1.0), (1.0, 0.0), (1.0, -2.0), (1.0, np.nan)):
        with pytest.raises(ValueError, match="spacing_mm"):
            metrics.surface_distances(labels, labels, 1, spacing_mm)
