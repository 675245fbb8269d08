"""Which image moves onto which."""

import itertools

import numpy as np


def ordered_pairs(count: int, limit: int | None = None, seed: int = 0) -> list[tuple[int, int]]:
    """All (moving, fixed) with moving != fixed, or `limit` of them drawn with `seed`, in order."""
    pairs = list(itertools.permutations(range(count), 2))
    if limit is None or len(pairs) <= limit:
        return pairs
    chosen = np.random.default_rng(seed).choice(len(pairs), limit, replace=False)
    return [pairs[i] for i in sorted(chosen)]


def training_pairs(count: int, length: int, seed: int) -> np.ndarray:
    """A sequence of (moving, fixed) for scan-to-scan training, never a scan with itself.

    Every scan moves once in each round of `count` pairs, onto another scan drawn at random. The
    beginning of a longer sequence is the shorter one, so that a resumed training goes on in it.

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
    """The same for training towards one atlas: (moving, -1), -1 standing for the atlas."""
    moving = [np.random.default_rng([seed, index]).permutation(count) for index in range(-(-length // count))]
    moving = np.concatenate(moving)[:length]
    return np.stack([moving, np.full_like(moving, -1)], axis=1)
