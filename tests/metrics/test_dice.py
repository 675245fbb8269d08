"""Dice against overlaps counted by hand and by loops."""

import numpy as np
import pytest

from vxm_tf import metrics


def test_dice_of_hand_made_masks():
    moved = np.zeros((15, 18), dtype="int32")
    fixed = np.zeros((15, 18), dtype="int32")
    moved[2:6, 3:8] = 12175  # 4 x 5 = 20 voxels
    fixed[4:8, 5:9] = 12175  # 4 x 4 = 16 voxels, of which 2 x 3 = 6 shared
    moved[10:12, 10:12] = fixed[10:12, 10:12] = 3
    moved[14, 0] = 5
    fixed[0, 17] = 6
    overlap = metrics.dice(moved, fixed, labels=(12175, 3, 5, 6, 7, 0))
    assert list(overlap) == [12175, 3, 5, 6, 7, 0]
    assert overlap[12175] == pytest.approx(2 * 6 / (20 + 16))
    assert overlap[3] == 1.0
    assert overlap[5] == 0.0 and overlap[6] == 0.0
    assert np.isnan(overlap[7])
    assert overlap[0] == pytest.approx(2 * (270 - 36) / ((270 - 25) + (270 - 21)))


@pytest.mark.parametrize("shape", [(15, 18), (9, 10, 11)])
# Ids near 10^9 are beyond the table that short ids are looked up in.
@pytest.mark.parametrize("dtype, scale", [("uint8", 1), ("int32", 2435), ("int64", 10**9), ("uint64", 10**9)])
def test_dice_equals_a_loop_over_labels(shape, dtype, scale):
    rng = np.random.default_rng(1)
    moved, fixed = (rng.integers(0, 6, (2, *shape)) * scale).astype(dtype)
    labels = [4 * scale, 1 * scale, 2 * scale]
    overlap = metrics.dice(moved, fixed, labels)
    for label in labels:
        a, b = moved == label, fixed == label
        assert overlap[label] == pytest.approx(2 * np.sum(a & b) / (np.sum(a) + np.sum(b)))


def test_dice_answers_each_label_once_with_plain_numbers():
    masks = np.array([[True, False]])
    overlap = metrics.dice(masks, masks, labels=np.array([1, 1], dtype="uint16"))
    assert overlap == {1: 1.0}
    assert type(next(iter(overlap))) is int and type(overlap[1]) is float
    assert metrics.dice(masks, masks, labels=()) == {}


def test_labels_in_any_of_the_images():
    first = np.array([[0, 12175], [4, 4]], dtype="int32")
    second = np.array([7, 0, 4], dtype="uint8")
    assert metrics.labels_in(first, second) == (4, 7, 12175)
    assert metrics.labels_in(np.zeros((3, 4), dtype="int16")) == ()
    assert all(type(label) is int for label in metrics.labels_in(first))


def test_what_is_no_label_image_is_refused():
    good = np.zeros((9, 10, 11), dtype="int32")
    with pytest.raises(ValueError, match=r"\(9, 10, 11\).*\(9, 10, 12\)"):
        metrics.dice(good, np.zeros((9, 10, 12), dtype="int32"), labels=(1,))
    with pytest.raises(ValueError, match="float32"):
        metrics.dice(good, good.astype("float32"), labels=(1,))
    with pytest.raises(ValueError, match="0 or more; got -2"):
        metrics.dice(good, good, labels=(1, -2))
    with pytest.raises(ValueError, match="fixed_labels holds -1"):
        metrics.dice(good, good - 1, labels=(1,))
    with pytest.raises(ValueError, match="holds -1"):
        metrics.labels_in(good - 1)
