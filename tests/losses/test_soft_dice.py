"""Soft Dice of segmentations small enough to count by hand."""

import numpy as np
import pytest

from vxm_tf import losses


def one_hot(labels, num_labels=3):
    return np.eye(num_labels, dtype="float32")[np.array(labels)][None]


@pytest.fixture
def segmentations(rng):
    """Two soft segmentations of four labels."""

    def draw(shape, batch=2):
        exponentials = np.exp(3 * rng.normal(size=(2, batch, *shape, 4)))
        return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype("float32")

    return draw


def test_hand_counted_overlap():
    """Label 0: 2 * 2 of 3 + 2; label 1: 2 * 1 of 1 + 2; label 2: 2 * 2 of 2 + 2."""
    first, second = one_hot([[0, 0, 0], [1, 2, 2]]), one_hot([[0, 0, 1], [1, 2, 2]])
    expected = -np.mean([4 / 5, 2 / 3, 1.0])
    assert float(losses.SoftDice()(first, second)) == pytest.approx(expected, rel=1e-6)


def test_equal_segmentations_score_minus_one(shape, rng):
    segmentation = np.eye(4, dtype="float32")[rng.integers(0, 4, (2, *shape))]
    assert float(losses.SoftDice()(segmentation, segmentation)) == pytest.approx(-1.0, rel=1e-6)


def test_disjoint_segmentations_score_zero():
    assert float(losses.SoftDice()(one_hot([[0, 1, 2]]), one_hot([[1, 2, 0]]))) == 0.0


def test_soft_segmentations_are_scored_by_the_formula(shape, segmentations):
    first, second = segmentations(shape)
    spatial = tuple(range(1, first.ndim - 1))
    first64, second64 = first.astype("float64"), second.astype("float64")
    dice = 2 * (first64 * second64).sum(spatial) / (first64 + second64).sum(spatial)
    np.testing.assert_allclose(losses.SoftDice(reduction=None)(first, second), -dice.mean(axis=-1), rtol=1e-5)


def test_a_label_absent_from_both_segmentations_does_not_count():
    first, second = [[0, 0, 1]], [[0, 1, 1]]
    with_absent = losses.SoftDice()(one_hot(first, 5), one_hot(second, 5))
    without = losses.SoftDice()(one_hot(first, 2), one_hot(second, 2))
    assert float(with_absent) == pytest.approx(float(without), rel=1e-6)


def test_a_label_absent_from_one_segmentation_scores_zero():
    assert float(losses.SoftDice()(one_hot([[0, 0]], 2), one_hot([[0, 1]], 2))) == pytest.approx(-(2 / 3) / 2, rel=1e-6)


def test_labels_are_counted_for_every_pair_of_the_batch_on_its_own():
    first = np.concatenate([one_hot([[0, 0, 1]]), one_hot([[1, 2, 2]])])
    second = np.concatenate([one_hot([[0, 1, 1]]), one_hot([[1, 1, 2]])])
    loss = losses.SoftDice(reduction=None)
    alone = [float(loss(first[i : i + 1], second[i : i + 1])[0]) for i in range(2)]
    np.testing.assert_allclose(loss(first, second), alone, rtol=1e-6)


def test_empty_segmentations_score_zero():
    empty = np.zeros((1, 4, 5, 2), "float32")
    assert float(losses.SoftDice()(empty, empty)) == 0.0


def test_half_precision_segmentations_are_summed_in_float32():
    """A sum of 80000 exceeds float16, whose largest number is 65504."""
    full = np.ones((1, 200, 400, 1), "float16")
    assert float(losses.SoftDice()(full, full)) == pytest.approx(-1.0, rel=1e-6)


def test_integer_segmentations_are_taken(rng):
    segmentation = np.eye(3, dtype="uint8")[rng.integers(0, 3, (1, 5, 6))]
    assert float(losses.SoftDice()(segmentation, segmentation)) == pytest.approx(-1.0, rel=1e-6)


def test_gradient_of_soft_dice(shape, segmentations, check_gradient):
    check_gradient(losses.SoftDice(reduction=None), *segmentations(shape), step=1e-3, rtol=2e-2)
