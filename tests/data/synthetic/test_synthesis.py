"""Synthetic images: contrast is random, places are those of the labels."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from vxm_tf.data import synthetic_dataset
from vxm_tf.data.synthetic.label_maps import LabelMaps, find_label_maps
from vxm_tf.data.synthetic.phantoms import write_population
from vxm_tf.data.synthetic.synthesis import SynthesisConfig, _contrast, synthetic_pair

SHAPE = (60, 64)
STILL = SynthesisConfig(degrees=0.0, scale=0.0, shear=0.0, shift=0.0, displacement=0.0)
CLEAN = dataclasses.replace(STILL, noise=0.0, blur=0.3, bias=0.0, gamma=0.0)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = write_population(tmp_path_factory.mktemp("maps"), (96, 96), num_train=3, num_val=0)
    return LabelMaps(find_label_maps(folder))


def pair(maps, seed=0, config=None, indices=(0, 1)):
    return synthetic_pair(maps, *indices, SHAPE, 1.5, np.random.default_rng(seed), config)


def test_images_have_the_shape_and_range_that_networks_take(maps):
    for seed in range(5):
        for image in pair(maps, seed).values():
            assert image.shape == (*SHAPE, 1) and image.dtype == np.float32
            assert image.min() >= 0.0 and image.max() <= 1.0 and np.isfinite(image).all()


def test_one_seed_is_one_pair_and_another_is_another(maps):
    first, second, other = pair(maps, 3), pair(maps, 3), pair(maps, 4)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
        assert np.abs(first[name] - other[name]).max() > 0.1


def test_what_is_seen_differs_in_contrast_and_what_is_compared_does_not(maps):
    """The same person twice, unmoved: the targets are equal, the images are not."""
    same = pair(maps, 1, CLEAN, (2, 2))
    np.testing.assert_array_equal(same["moving_target"], same["fixed_target"])
    assert np.abs(same["moving"] - same["fixed"]).max() > 0.3


def test_images_lie_where_their_targets_lie(maps):
    """Away from edges, all voxels of one structure are equally bright, and structures differ."""
    clean = pair(maps, 1, CLEAN)
    for name in ("moving", "fixed"):
        image, target = clean[name][..., 0], clean[f"{name}_target"][..., 0]
        flat = ndimage.maximum_filter(target, 3) - ndimage.minimum_filter(target, 3) < 1e-3
        groups = [image[flat & (np.abs(target - value) < 5e-4)] for value in np.unique(target[flat].round(3))]
        groups = [group for group in groups if len(group) > 5]
        assert len(groups) > 2
        assert max(np.ptp(group) for group in groups) < 0.01 < 0.1 < np.ptp([group.mean() for group in groups])


def test_people_differ_and_deformations_move_them(maps):
    assert np.abs(np.subtract(*(pair(maps, 1, CLEAN)[f"{n}_target"] for n in ("moving", "fixed")))).max() > 0.1
    moved = dataclasses.replace(CLEAN, displacement=4.0)
    found = pair(maps, 5, moved, (2, 2))
    assert np.abs(found["moving_target"] - found["fixed_target"]).max() > 0.1


def test_stripped_images_show_the_brain_alone(tmp_path):
    folder = write_population(tmp_path, (96, 96), num_train=2, num_val=0)
    for path in find_label_maps(folder):
        seg = np.load(path)["seg"].astype("int32")
        np.savez(path, seg=np.where(seg == 1, 515, seg))
    maps = LabelMaps(find_label_maps(folder))
    sizes = {}
    for part in (0.0, 1.0):
        image = pair(maps, 2, dataclasses.replace(CLEAN, stripped=part))["fixed_target"]
        sizes[part] = np.count_nonzero(image > 0.02)
    assert sizes[1.0] < 0.95 * sizes[0.0]


def test_left_and_right_look_alike():
    labels = np.array([0, 2, 3, 41, 42, 43])
    values = _contrast(labels, np.random.default_rng(0))
    assert values[0] == 0.0 and values[1] == values[3] and values[2] == values[4]
    assert len(set(values[[1, 2, 5]].tolist())) == 3


def test_batches_follow_the_pairs_and_go_on_where_they_stopped(maps):
    pairs = np.array([(0, 0, 1), (0, 1, 2), (0, 2, 0)])
    settings = {"shape": SHAPE, "spacing_mm": 1.5, "seed": 9}
    whole = list(synthetic_dataset([maps], pairs, 1, **settings))
    assert len(whole) == 3
    expected = synthetic_pair(maps, 1, 2, SHAPE, 1.5, np.random.default_rng([9, 1]))
    for name in expected:
        np.testing.assert_array_equal(np.asarray(whole[1][name])[0], expected[name])
    rest = list(synthetic_dataset([maps], pairs[1:], 1, **settings, first=1))
    for name in expected:
        np.testing.assert_array_equal(rest[0][name], whole[1][name])
