"""Pairs of a moving and a fixed image, as indices of scans."""

import itertools
from collections.abc import Sequence

import numpy as np


def ordered_pairs(count: int, limit: int | None = None, seed: int = 0) -> list[tuple[int, int]]:
    """Pairs (moving, fixed) of different scans in ascending order: all, or `limit` of them drawn with `seed`.

    Args:
        count: number of scans.
        limit: largest number of pairs; None for all.
        seed: seed of the random choice.
    """
    pairs = list(itertools.permutations(range(count), 2))
    if limit is None or len(pairs) <= limit:
        return pairs
    chosen = np.random.default_rng(seed).choice(len(pairs), limit, replace=False)
    return [pairs[i] for i in sorted(chosen)]


def training_pairs(count: int, length: int, seed: int) -> np.ndarray:
    """A sequence of pairs (moving, fixed) for scan-to-scan training, never a scan with itself.

    In each round of `count` pairs every scan is the moving image once, and the fixed image is another scan, drawn at
    random. A longer sequence begins with the shorter one, so that a resumed training continues it.

    Args:
        count: number of scans, at least 2.
        length: number of pairs.
        seed: seed of the random order.

    Returns:
        int64 `[length, 2]`.
    """
    rounds = []
    for index in range(-(-length // count)):
        rng = np.random.default_rng([seed, index])
        moving = rng.permutation(count)
        fixed = (moving + rng.integers(1, count, size=count)) % count
        rounds.append(np.stack([moving, fixed], axis=1))
    return np.concatenate(rounds)[:length]


def atlas_pairs(count: int, length: int, seed: int) -> np.ndarray:
    """A sequence of pairs (moving, -1) for training towards one atlas, whose index is -1; see `training_pairs`.

    Returns:
        int64 `[length, 2]`.
    """
    rounds = [np.random.default_rng([seed, index]).permutation(count) for index in range(-(-length // count))]
    moving = np.concatenate(rounds)[:length]
    return np.stack([moving, np.full_like(moving, -1)], axis=1)


def listed_pairs(pairs: Sequence[tuple[int, int]], length: int, seed: int) -> np.ndarray:
    """A sequence of given pairs (moving, fixed), each of them once in every round, in random order.

    A longer sequence begins with the shorter one, see `training_pairs`.

    Args:
        pairs: the pairs to draw from, one or more.
        length: number of pairs.
        seed: seed of the random order.

    Returns:
        int64 `[length, 2]`.
    """
    given = np.asarray(pairs, "int64").reshape(-1, 2)
    rounds = [np.random.default_rng([seed, index]).permutation(len(given)) for index in range(-(-length // len(given)))]
    return given[np.concatenate(rounds)[:length]]
