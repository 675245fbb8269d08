"""The truth of known pairs is true: it carries one image onto the other."""

import numpy as np
import pytest

from vxm_tf.data.phantoms import phantom
from vxm_tf.registration.known_pairs import deformed_pairs, phantom_pairs
from vxm_tf.registration.pair import warp_array

SHAPE = (64, 72)


def pairs(kind, count=4):
    if kind == "phantoms":
        return list(phantom_pairs(SHAPE, count, seed=3))
    images = [phantom(SHAPE, seed, noise=0.0).image[..., None] for seed in (1, 2)]
    return list(deformed_pairs(images, count, seed=3))


@pytest.mark.parametrize("kind", ["phantoms", "scans"])
def test_the_displacement_aligns(kind):
    for pair in pairs(kind):
        moved = warp_array(pair.moving, pair.displacement)
        before = np.abs(pair.moving - pair.fixed)[pair.inside].mean()
        after = np.abs(moved - pair.fixed)[pair.inside].mean()
        correlation = np.corrcoef(moved[pair.inside].ravel(), pair.fixed[pair.inside].ravel())[0, 1]
        assert after < before and correlation > 0.75
        assert 0.0 <= pair.fixed.min() and pair.fixed.max() <= 1.0
        assert 0.2 < pair.inside.mean() < 0.9


@pytest.mark.parametrize("kind", ["phantoms", "scans"])
def test_pairs_differ_and_depend_on_their_number_alone(kind):
    few, many = pairs(kind, 2), pairs(kind, 4)
    for one, same in zip(few, many):
        np.testing.assert_array_equal(one.moving, same.moving)
        np.testing.assert_array_equal(one.displacement, same.displacement)
    sizes = [np.linalg.norm(pair.displacement, axis=-1).mean() for pair in many]
    assert max(sizes) > 1.3 * min(sizes)


def test_alike_phantoms_are_those_of_phantom():
    pair = next(phantom_pairs(SHAPE, 1, seed=3, alike=True))
    expected = phantom(SHAPE, np.random.SeedSequence((3, 0, 0)))
    np.testing.assert_array_equal(pair.moving[..., 0], expected.image)
