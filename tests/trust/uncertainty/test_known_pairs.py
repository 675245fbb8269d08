"""The truth of known pairs is true: it carries one image onto the other."""

import numpy as np
import pytest

from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.data.warping import warp_array
from vxm_tf.trust.uncertainty import known_pairs
from vxm_tf.trust.uncertainty.known_pairs import deformed_pairs, phantom_pairs

SHAPE = (64, 72)


def pairs(kind, count=4):
    if kind == "phantoms":
        return list(phantom_pairs(SHAPE, count, seed=3))
    images = [phantom(SHAPE, seed, noise=0.0).image[..., None] for seed in (1, 2)]
    return list(deformed_pairs(images, count, seed=3))


@pytest.mark.parametrize("kind", ["phantoms", "scans"])
def test_the_displacement_aligns(kind, monkeypatch):
    monkeypatch.setattr(known_pairs, "NOISES", (0.001, 0.002))
    monkeypatch.setattr(known_pairs, "MAGNITUDES", (0.03, 0.04))
    correlations = []
    for pair in pairs(kind):
        assert 0.0 <= pair.fixed.min() and pair.fixed.max() <= 1.0 and 0.2 < pair.inside.mean() < 0.9
        both = pair.moving, warp_array(pair.moving, pair.displacement)
        fixed = pair.fixed[pair.inside].ravel()
        correlations.append([np.corrcoef(image[pair.inside].ravel(), fixed)[0, 1] for image in both])
    before, after = np.mean(correlations, axis=0)
    # Composed the other way round, 0.87; interpolation, gain and contrast leave less than 1.
    assert after > 0.92 > 0.6 > before


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


def test_channels_that_sum_to_one_have_a_foreground():
    image = phantom(SHAPE, 1, noise=0.0).image[..., None]
    pair = next(deformed_pairs([np.concatenate([image, 1.0 - image], axis=-1)], 1, seed=3))
    # Their mean is constant, in which nothing is brighter than the rest.
    assert pair.inside.mean() > 0.3


def test_each_pair_has_the_voxel_size_of_its_scan():
    images = [phantom(SHAPE, seed).image[..., None] for seed in (1, 2)]
    sizes = [pair.spacing_mm for pair in deformed_pairs(images, 3, spacings_mm=[(1.0, 4.0), (2.0, 2.0)])]
    assert sizes == [(1.0, 4.0), (2.0, 2.0), (1.0, 4.0)]
    pair = next(phantom_pairs(SHAPE, 1, spacing_mm=(1.0, 4.0)))
    np.testing.assert_allclose(pair.linear, np.diag([0.5, 2.0]))
