"""Intervals over people hold the true difference as often as they say."""

import numpy as np
import pytest

from benchmarks.contest.differences import differences, interval_over_people

PEOPLE = "abcde"


def pairs_of(rng, people_std, pair_std):
    """Differences of mean 0 for the ordered pairs of five people, each with an effect as moving and as fixed image."""
    moving, fixed = people_std * rng.normal(size=(2, 5))
    return {
        (a, b): moving[i] + fixed[j] + pair_std * rng.normal()
        for i, a in enumerate(PEOPLE)
        for j, b in enumerate(PEOPLE)
        if i != j
    }


@pytest.mark.parametrize("people_std, pair_std", [(1.0, 0.1), (1.0, 1.0)])
def test_an_interval_of_95_percent_holds_the_truth_in_95_percent(people_std, pair_std):
    rng = np.random.default_rng(0)
    intervals = np.array([interval_over_people(pairs_of(rng, people_std, pair_std)) for _ in range(2000)])
    covered = np.mean((intervals[:, 0] <= 0) & (intervals[:, 1] >= 0))
    # The bootstrap over five people held it in 83 %.
    assert 0.935 <= covered <= 0.985


def test_a_difference_names_its_pairs_and_people():
    ours = {("a", "b"): 0.8, ("b", "a"): 0.7, ("a", "c"): 0.9, ("c", "b"): 0.6}
    others = {pair: dice - 0.1 for pair, dice in ours.items()}
    compared = differences({"ours": ours, "theirs": others}, "theirs")
    assert set(compared) == {"ours"}
    row = compared["ours"]
    assert (row["pairs"], row["people"]) == (4, 3)
    np.testing.assert_allclose([row["mean"], row["low"], row["high"]], 0.1)


def test_two_people_have_no_interval():
    assert interval_over_people({("a", "b"): 0.1, ("b", "a"): 0.3}) == (None, None)
