"""Random changes of pairs."""

import numpy as np
import pytest

from vxm_tf.data.synthetic.augmentation import AUGMENTATIONS, augmented, check_augmentations


@pytest.fixture
def blobs():
    """A moving and a fixed image with one smooth blob each, the second 3 voxels further along axis 1."""

    def blob(centre):
        grid = np.indices((40, 48)) - np.reshape(centre, (2, 1, 1))
        return np.exp(-np.square(grid).sum(0) / 60.0).astype("float32")[..., None]

    return blob((20, 20)), blob((20, 23))


def centre(image):
    return np.array([np.average(index, weights=image[..., 0]) for index in np.indices(image.shape[:-1])])


def test_no_augmentation_changes_nothing(blobs):
    for before, after in zip(blobs, augmented(blobs, (), np.random.default_rng(0), 1)):
        np.testing.assert_array_equal(before, after)


def test_flips_mirror_both_images_every_other_time(blobs):
    flipped = 0
    for seed in range(40):
        pair = augmented(blobs, ("flip",), np.random.default_rng(seed), 1)
        mirrored = [np.array_equal(after, before[:, ::-1]) for before, after in zip(blobs, pair)]
        assert all(mirrored) or not any(mirrored)
        flipped += all(mirrored)
    assert 10 < flipped < 30


def test_nothing_is_flipped_where_left_and_right_are_unknown(blobs):
    for seed in range(10):
        np.testing.assert_array_equal(augmented(blobs, ("flip",), np.random.default_rng(seed), None)[0], blobs[0])


def test_an_affine_moves_both_images_alike(blobs):
    apart = []
    for seed in range(10):
        pair = augmented(blobs, ("affine",), np.random.default_rng(seed))
        apart.append(np.linalg.norm(centre(pair[1]) - centre(pair[0])))
        assert np.abs(centre(pair[0]) - centre(blobs[0])).max() > 0.1
    assert 2.5 < min(apart) and max(apart) < 3.6


def test_deformations_move_each_image_its_own_way(blobs):
    same = blobs[0], blobs[0]
    apart = [
        np.linalg.norm(np.subtract(*map(centre, augmented(same, ("deformation",), np.random.default_rng(seed)))))
        for seed in range(10)
    ]
    assert max(apart) > 0.2


def test_intensities_change_and_places_do_not(blobs):
    pair = augmented(blobs, ("intensity",), np.random.default_rng(1))
    for before, after in zip(blobs, pair):
        assert np.abs(after - before).max() > 0.02
        assert after.min() >= 0.0 and after.max() <= 1.0
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.95


def test_values_below_0_and_above_1_keep_their_signs_and_are_not_cut_off(blobs):
    images = [4 * blob - 1 for blob in blobs]
    for before, after in zip(images, augmented(images, ("intensity",), np.random.default_rng(1))):
        assert np.isfinite(after).all()
        np.testing.assert_array_equal(np.sign(after), np.sign(before))
        assert after.max() > 1.5 and np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def test_one_seed_is_one_change(blobs):
    first, second = (augmented(blobs, AUGMENTATIONS, np.random.default_rng(7), 0) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert all(image.dtype == np.float32 and image.shape == (40, 48, 1) for image in first)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="no augmentation 'crop'; choose from flip, affine"):
        check_augmentations(("flip", "crop"))
