"""Which image moves onto which."""

import numpy as np
import pytest

from vxm_tf.data import atlas_pairs, listed_pairs, ordered_pairs, training_pairs


def test_ordered_pairs_are_all_of_two_different_scans():
    pairs = ordered_pairs(5)
    assert len(set(pairs)) == len(pairs) == 20
    assert all(moving != fixed for moving, fixed in pairs)


def test_a_limit_draws_that_many_different_pairs_in_order():
    pairs = ordered_pairs(5, limit=7, seed=1)
    assert len(pairs) == 7
    assert pairs == sorted(set(pairs) & set(ordered_pairs(5)))


def test_the_same_seed_draws_the_same_pairs_and_another_seed_others():
    assert ordered_pairs(9, 10, seed=1) == ordered_pairs(9, 10, seed=1) != ordered_pairs(9, 10, seed=2)


def test_a_limit_beyond_the_number_of_pairs_changes_nothing():
    assert ordered_pairs(3, limit=100) == ordered_pairs(3)


@pytest.mark.parametrize("count", (2, 3, 15))
def test_no_scan_is_ever_paired_with_itself(count):
    pairs = training_pairs(count, 2000, seed=0)
    assert pairs.shape == (2000, 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert set(pairs.ravel()) == set(range(count))


@pytest.mark.parametrize("count", (2, 7))
@pytest.mark.parametrize("make", (training_pairs, atlas_pairs))
def test_every_scan_moves_once_in_each_round(make, count):
    rounds = make(count, 12 * count, seed=3)[:, 0].reshape(12, count)
    np.testing.assert_array_equal(np.sort(rounds, axis=1), np.tile(np.arange(count), (12, 1)))


def test_every_other_scan_serves_as_fixed_image_alike_often():
    pairs = training_pairs(4, 12000, seed=0)
    counts = np.zeros((4, 4))
    np.add.at(counts, tuple(pairs.T), 1)
    np.testing.assert_allclose(counts[~np.eye(4, dtype=bool)], 1000, atol=150)


@pytest.mark.parametrize("make", (training_pairs, atlas_pairs))
def test_the_beginning_of_a_longer_sequence_is_the_shorter_one(make):
    longer = make(7, 100, seed=5)
    for length in (1, 7, 20, 99):
        np.testing.assert_array_equal(make(7, length, seed=5), longer[:length])


@pytest.mark.parametrize("make", (training_pairs, atlas_pairs))
def test_another_seed_gives_another_sequence_and_each_round_another_order(make):
    pairs = make(9, 18, seed=1)
    assert not np.array_equal(pairs, make(9, 18, seed=2))
    assert not np.array_equal(pairs[:9], pairs[9:])


def test_towards_an_atlas_the_fixed_index_is_minus_one():
    assert (atlas_pairs(3, 10, seed=0)[:, 1] == -1).all()


def test_one_scan_is_enough_for_an_atlas():
    assert atlas_pairs(1, 3, seed=0).tolist() == [[0, -1]] * 3


def test_listed_pairs_come_once_in_every_round_and_go_on_where_they_stopped():
    given = [(0, 1), (2, 3), (1, 0)]
    pairs = listed_pairs(given, 9, seed=2).tolist()
    assert all(sorted(map(tuple, pairs[k : k + 3])) == sorted(given) for k in (0, 3, 6))
    assert listed_pairs(given, 5, seed=2).tolist() == pairs[:5]
