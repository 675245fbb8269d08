"""A registration that did nothing, or is off by known millimetres, is found by the steps that it still has to go."""

import numpy as np
import pytest
from scipy import ndimage

from vxm_tf.data.synthetic import phantoms
from vxm_tf.trust import judge
from vxm_tf.trust.gate.pair_view import channel_pairs, linear_of, views_of
from vxm_tf.trust.gate.unrest import unrest_mm

VOXEL_MM = 2.0
SHAPE = (72, 72, 72)


@pytest.fixture(scope="module")
def pair():
    """(moving, fixed, displacement): the template, an individual of 2 mm voxels, and what aligns them."""
    individual = phantoms.phantom(SHAPE, seed=4)
    return phantoms.template(SHAPE)[0][..., None], individual.image[..., None], individual.displacement


def smooth_error(fixed, rms_mm, seed=0):
    """Smooth noise in voxels, of this root mean square length where the image shows something."""
    rng = np.random.default_rng(seed)
    noise = [ndimage.gaussian_filter(rng.standard_normal(fixed.shape[:-1]), 8.0) for _ in range(3)]
    error, inside = np.stack(noise, axis=-1), fixed[..., 0] > 0.05
    return error * rms_mm / VOXEL_MM / np.sqrt(np.mean(np.sum(error[inside] ** 2, axis=-1)))


def unrest_of(moving, fixed, displacement, spacing_mm=VOXEL_MM):
    return unrest_mm(views_of(channel_pairs(moving, fixed), displacement, linear_of(spacing_mm, 3)))


def still(verdict):
    return any("would still move this registration" in reason for reason in verdict.reasons)


def test_a_true_deformation_is_at_rest_and_passes(pair):
    verdict = judge(*pair, spacing_mm=VOXEL_MM)
    assert verdict.verdict == "pass" and verdict.measures["unrest_mm"] < 0.7


def test_a_registration_that_did_nothing_is_found(pair):
    moving, fixed, displacement = pair
    verdict = judge(moving, fixed, 0.0 * displacement, spacing_mm=2 * VOXEL_MM)
    assert verdict.verdict != "pass" and still(verdict)


@pytest.mark.parametrize(("rms_mm", "expected"), [(4.0, ("review", "fail")), (8.0, ("review", "fail"))])
@pytest.mark.parametrize("seed", (0, 1))
def test_a_smooth_error_is_found(pair, rms_mm, expected, seed):
    moving, fixed, displacement = pair
    verdict = judge(moving, fixed, displacement + smooth_error(fixed, rms_mm, seed), spacing_mm=VOXEL_MM)
    assert verdict.verdict in expected and still(verdict)


def test_the_unrest_is_the_length_of_the_error(pair):
    moving, fixed, displacement = pair
    for rms_mm in (2.0, 4.0):
        error = smooth_error(fixed, rms_mm)
        lengths_mm = VOXEL_MM * np.linalg.norm(error, axis=-1)[fixed[..., 0] > 0.05]
        expected = np.percentile(lengths_mm, 75)
        assert unrest_of(moving, fixed, displacement + error) == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize("shift_mm", ((10.0, 0.0, 0.0), (0.0, -6.0, 8.0)))
def test_a_shift_of_10_mm_is_measured_and_found(pair, shift_mm):
    moving, fixed, displacement = pair
    off = displacement + np.array(shift_mm) / VOXEL_MM
    assert unrest_of(moving, fixed, off) == pytest.approx(10.0, rel=0.3)
    assert still(judge(moving, fixed, off, spacing_mm=VOXEL_MM))


def test_the_unrest_does_not_depend_on_contrast(pair):
    moving, fixed, displacement = pair
    off = displacement + smooth_error(fixed, 4.0)
    plain = unrest_of(moving, fixed, off)
    assert unrest_of(40.0 * moving + 3.0, fixed, off) == pytest.approx(plain, rel=0.02)
    assert unrest_of(np.sqrt(moving), fixed, off) == pytest.approx(plain, rel=0.2)


def test_the_sentence_holds_the_millimetres(pair):
    moving, fixed, displacement = pair
    verdict = judge(moving, fixed, displacement + smooth_error(fixed, 4.0), spacing_mm=VOXEL_MM)
    sentence = next(reason for reason in verdict.reasons if "would still move" in reason)
    assert f"{verdict.measures['unrest_mm']:.1f} mm" in sentence


def test_anisotropic_voxels_give_the_same_unrest(pair):
    moving, fixed, displacement = pair
    off = displacement + smooth_error(fixed, 4.0)
    thick = [array.reshape(18, 4, *array.shape[1:]).mean(axis=1) for array in (moving, fixed, off)]
    thick[2] = thick[2] * (0.25, 1.0, 1.0)
    measured = unrest_of(*thick, spacing_mm=(4 * VOXEL_MM, VOXEL_MM, VOXEL_MM))
    assert measured == pytest.approx(unrest_of(moving, fixed, off), rel=0.25)
