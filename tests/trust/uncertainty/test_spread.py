"""Spread of registrations: against NumPy's, of known noise, and of images that say more or less."""

import numpy as np
import pytest

from vxm_tf.models import VxmProbabilistic
from vxm_tf.trust.uncertainty import perturbation
from vxm_tf.trust.uncertainty.perturbation import perturbed_displacements
from vxm_tf.trust.uncertainty.spread import RunningMoments, sampled_displacements, uncertainty_of


@pytest.fixture
def displacements(rng):
    return 0.3 * rng.standard_normal((7, 9, 10, 11, 3), dtype="float32")


def test_running_moments_are_those_of_all_at_once(rng):
    values, moments = rng.normal(1e4, 1.0, (9, 4, 5)), RunningMoments()
    for value in values:
        moments.add(value)
    np.testing.assert_allclose(moments.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, values.var(0, ddof=1), rtol=1e-8)


def test_the_spread_is_in_millimetres(displacements):
    spacing = np.array([1.0, 2.0, 3.0])
    found = uncertainty_of(iter(displacements), np.diag(spacing), "samples")
    expected = np.sqrt((displacements * spacing).var(0, ddof=1).sum(-1))
    np.testing.assert_allclose(found.displacement_std_mm, expected, rtol=1e-4)
    assert (found.samples, found.method) == (7, "samples")


def test_axes_that_are_not_the_world_s_change_nothing(displacements):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    straight, turned = (uncertainty_of(displacements, m, "samples").displacement_std_mm for m in (np.eye(3), turn))
    np.testing.assert_allclose(straight, turned, rtol=1e-4)


def test_a_summary_is_of_what_lies_inside(displacements):
    found = uncertainty_of(displacements, np.eye(3), "samples")
    inside = np.zeros((9, 10, 11), bool)
    inside[3:6, 4:7, 2:9] = True
    expected = np.percentile(found.displacement_std_mm[inside], (50, 95, 100))
    summary = found.summary(inside)
    assert [summary[name] for name in ("median_std_mm", "percentile95_std_mm", "largest_std_mm")] == expected.tolist()
    assert found.summary(inside & False) == found.summary()


def test_one_registration_has_no_spread(displacements):
    with pytest.raises(ValueError, match="2 registrations or more; got 1"):
        uncertainty_of(displacements[:1], np.eye(3), "samples")


def test_a_registration_that_heeds_no_image_is_as_unsure_as_the_perturbations_are_large(rng):
    image, asked = rng.random((40, 44, 1), dtype="float32"), []

    def register(moving, fixed):
        asked.append((moving, fixed))
        return np.zeros((40, 44, 2), "float32")

    found = list(perturbed_displacements(register, image, image, 3))
    sizes = [np.sqrt(np.square(u).sum(-1).mean()) for u in found]
    # Two independent ones of 1 voxel.
    assert all(1.0 < size < 2.0 for size in sizes)
    assert all(np.abs(moving - fixed).max() > 0.2 for moving, fixed in asked)


def test_a_registration_that_follows_the_images_is_sure(rng, monkeypatch):
    """The exact answer to perturbations p and q of an image with itself, p^-1 o q, leaves nothing."""
    image, fields = rng.random((40, 44, 1), dtype="float32"), []

    def remembered(*arguments):
        fields.append(smooth_velocity(*arguments))
        return fields[-1]

    def register(*_):
        p, q = fields[-2:]
        return perturbation.composed(perturbation._integrated(-p), perturbation._integrated(q))

    smooth_velocity = perturbation._smooth_velocity
    monkeypatch.setattr(perturbation, "_smooth_velocity", remembered)
    found = np.stack(list(perturbed_displacements(register, image, image, 3)))
    assert np.abs(found[:, 6:-6, 6:-6]).max() < 0.1


def test_seeds_decide(rng):
    image = rng.random((20, 24, 1), dtype="float32")

    def run(seed):
        return list(perturbed_displacements(lambda m, f: m * np.ones(2, "float32"), image, image, 2, seed))

    first, again, other = run(1), run(1), run(2)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - other[0]).max() > 0.1
    assert np.abs(first[0] - first[1]).max() > 0.1


def test_samples_of_a_network_spread_as_it_says(rng):
    network = VxmProbabilistic((24, 28), features=(4, 6), iterations=(1, 1))
    moving, fixed = rng.random((2, 24, 28, 1), dtype="float32")
    found = list(sampled_displacements(network, moving, fixed, 40, seed=3))
    spread = uncertainty_of(found, np.eye(2), "samples").displacement_std_mm
    # An untrained network says 0.2 cells, 0.4 voxels, for each component.
    np.testing.assert_allclose(spread.mean(), 0.4 * np.sqrt(2), rtol=0.25)
    np.testing.assert_array_equal(found[0], next(sampled_displacements(network, moving, fixed, 1, seed=3)))
    assert np.abs(found[0] - next(sampled_displacements(network, moving, fixed, 1, seed=4))).max() > 0.05
