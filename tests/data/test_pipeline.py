"""Pairs of indices in, batches of image pairs out, in order."""

import time

import numpy as np
import pytest

from vxm_tf.data import Atlas, Scan, ScanStore, image_pair, training_dataset
from vxm_tf.data.padding import pad_to
from vxm_tf.data.pipeline import pair_shape


@pytest.fixture
def store(write_npz):
    return lambda *shapes: ScanStore(
        [Scan(str(k), write_npz(f"{k}.npz", shape), None) for k, shape in enumerate(shapes)], "minmax"
    )


def batches(*args, **settings):
    return [{name: tensor.numpy() for name, tensor in batch.items()} for batch in training_dataset(*args, **settings)]


def test_batches_follow_the_order_of_the_pairs(store):
    scans = store((9, 10), (9, 10), (9, 10))
    pairs = [(0, 1), (2, 0), (1, 2), (1, 0)]
    answer = batches(scans, pairs, 2)
    assert len(answer) == 2
    for k, (moving, fixed) in enumerate(pairs):
        np.testing.assert_array_equal(answer[k // 2]["moving"][k % 2], scans.image(moving))
        np.testing.assert_array_equal(answer[k // 2]["fixed"][k % 2], scans.image(fixed))


def test_pairs_loaded_in_parallel_stay_in_order_though_some_take_longer(store, monkeypatch):
    scans = store(*[(5, 6)] * 4)
    image = scans.image

    def slowly(index):
        time.sleep(0.03 if index == 0 else 0.0)
        return image(index)

    monkeypatch.setattr(scans, "image", slowly)
    pairs = np.array([(0, 1), (2, 3), (3, 2), (1, 3)] * 15)
    moving = np.concatenate([batch["moving"] for batch in batches(scans, pairs, 1)])
    np.testing.assert_array_equal(moving, np.stack([image(index) for index in pairs[:, 0]]))


def test_an_incomplete_last_batch_is_left_out(store):
    assert len(batches(store((9, 10), (9, 10)), [(0, 1)] * 5, 2)) == 2


@pytest.mark.parametrize("shape", [(9, 10), (9, 10, 11)])
def test_equal_shapes_are_known_to_the_graph(store, shape):
    spec = training_dataset(store(shape, shape), [(0, 1)], 3).element_spec
    assert spec["moving"].shape == spec["fixed"].shape == (3, *shape, 1)


def test_different_shapes_are_unknown_to_the_graph(store):
    spec = training_dataset(store((9, 10), (8, 10)), [(0, 1)], 3).element_spec
    assert spec["moving"].shape.as_list() == [3, None, None, 1]


def test_two_images_of_different_shapes_are_centred_on_one_grid(store):
    scans = store((9, 10, 4), (8, 12, 6))
    moving, fixed = image_pair(scans, 0, 1)
    assert moving.shape == fixed.shape == (9, 12, 6, 1)
    np.testing.assert_array_equal(moving[:, 1:11, 1:5], scans.image(0))
    np.testing.assert_array_equal(fixed[:8], scans.image(1))


def test_edges_are_repeated_around_a_smaller_image(store):
    moving, _ = image_pair(store((9, 10), (9, 14)), 0, 1)
    np.testing.assert_array_equal(moving[:, :2], np.repeat(moving[:, 2:3], 2, axis=1))


def test_pairs_of_different_sizes_in_one_batch_are_padded_with_zeros(store):
    scans = store((9, 10), (9, 10), (12, 13), (12, 13))
    batch = batches(scans, [(0, 1), (2, 3)], 2)[0]
    assert batch["moving"].shape == batch["fixed"].shape == (2, 12, 13, 1)
    np.testing.assert_array_equal(batch["moving"][0, :9, :10], scans.image(0))
    assert not batch["moving"][0, 9:].any() and not batch["moving"][0, :, 10:].any()
    np.testing.assert_array_equal(batch["fixed"][1], scans.image(3))


def test_a_negative_index_is_the_atlas(store, rng):
    scans, atlas = store((9, 10), (9, 10)), Atlas(rng.random((9, 10, 1), dtype="float32"))
    batch = batches(scans, [(1, -1)], 1, atlas=atlas)[0]
    np.testing.assert_array_equal(batch["moving"][0], scans.image(1))
    np.testing.assert_array_equal(batch["fixed"][0], atlas.image)


def test_scans_are_padded_to_a_larger_atlas(store, rng):
    scans, atlas = store((9, 10), (9, 10)), Atlas(rng.random((11, 10, 1), dtype="float32"))
    assert pair_shape(scans, atlas) == (None, None)
    batch = batches(scans, [(0, -1)], 1, atlas=atlas)[0]
    np.testing.assert_array_equal(batch["fixed"][0], atlas.image)
    np.testing.assert_array_equal(batch["moving"][0], pad_to(scans.image(0), (11, 10)))


def test_an_atlas_of_the_same_shape_keeps_the_shape_known(store, rng):
    assert pair_shape(store((9, 10)), Atlas(rng.random((9, 10, 1)))) == (9, 10)


def test_an_index_of_the_atlas_needs_an_atlas(store):
    with pytest.raises(ValueError, match="Index -1 stands for the atlas, but there is none"):
        image_pair(store((5, 6)), 0, -1)
