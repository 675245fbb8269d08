"""The verdict measures in millimetres, whatever the voxels, and every channel on its own."""

import numpy as np
import pytest
from scipy import ndimage

from vxm_tf.data.synthetic import phantoms
from vxm_tf.spatial import Grid, SpatialImage
from vxm_tf.trust import judge
from vxm_tf.trust.gate.measures import measures_of

SHAPE = (64, 64)


@pytest.fixture(scope="module")
def pair():
    individual = phantoms.phantom(SHAPE, seed=4)
    return phantoms.template(SHAPE)[0][..., None], individual.image[..., None], individual.displacement


def turning(shape, degrees, linear):
    """The displacement, in voxels, that turns space about the middle of a grid, in the plane of the first two axes."""
    centre, angle = (np.array(shape) - 1) / 2, np.radians(degrees)
    turn = np.eye(len(shape))
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    in_voxels = np.linalg.inv(linear) @ turn @ linear
    return (np.moveaxis(np.indices(shape), 0, -1) - centre) @ (in_voxels - np.eye(len(shape))).T


SHEARED = np.array([[1.0, 0.8], [0.0, 3.0]])


@pytest.mark.parametrize("degrees", (10.0, 25.0))
@pytest.mark.parametrize("spacing_mm", ((1.0, 4.0), (1.0, 6.0), (6.0, 1.0), SHEARED), ids=str)
def test_a_turn_is_measured_in_space(pair, degrees, spacing_mm):
    linear = np.asarray(spacing_mm) if np.ndim(spacing_mm) == 2 else np.diag(spacing_mm)
    measures = judge(*pair[:2], turning(SHAPE, degrees, linear), spacing_mm=spacing_mm).measures
    assert measures["turn_degrees"] == pytest.approx(degrees, abs=0.5)


def test_a_turn_of_thick_slices_in_3d_is_measured_in_space(rng):
    image = ndimage.gaussian_filter(rng.random((40, 12, 20)), 1.0)[..., None]
    linear = np.diag((1.0, 4.0, 2.0))
    measures = judge(image, image, turning((40, 12, 20), 25.0, linear), spacing_mm=(1.0, 4.0, 2.0)).measures
    assert measures["turn_degrees"] == pytest.approx(25.0, abs=0.5)


def test_lengths_are_measured_in_space(pair):
    moving, fixed, _ = pair
    shift_mm = np.broadcast_to((0.0, 12.0), (*SHAPE, 2))
    plain = measures_of(moving, fixed, shift_mm / 2.0, spacing_mm=2.0)
    thick = [array[:, ::2] for array in (moving, fixed, shift_mm / 4.0)]
    measured = measures_of(*thick, spacing_mm=(2.0, 4.0))
    assert measured["displacement"] == pytest.approx(plain["displacement"], rel=0.05)


def test_sizes_that_span_no_volume_are_refused(pair):
    for spacing_mm in (0.0, (1.0, 2.0, 3.0), np.zeros((2, 2))):
        with pytest.raises(ValueError, match="one voxel size above 0"):
            judge(*pair, spacing_mm=spacing_mm)


def tissues(image):
    """Probabilities of three tissues, `[*spatial, 3]`, which sum to 1 everywhere."""
    bright = np.clip(image, 0.0, 1.0)
    return np.concatenate(
        [np.clip(1 - 2 * bright, 0, 1), 1 - np.abs(2 * bright - 1), np.clip(2 * bright - 1, 0, 1)], -1
    )


def test_tissue_maps_that_sum_to_one_are_not_blank(pair):
    moving, fixed, displacement = pair
    maps = tissues(moving), tissues(fixed)
    assert np.ptp(maps[0].sum(axis=-1)) < 1e-6
    verdict = judge(*maps, displacement)
    # The asymmetry of phantoms is chance, so only the sentence about mirroring may be there.
    assert verdict.verdict != "fail" and all("Mirrored" in reason for reason in verdict.reasons)


def test_tissue_maps_that_were_not_aligned_are_found(pair):
    moving, fixed, displacement = pair
    verdict = judge(tissues(moving), tissues(fixed), np.zeros_like(displacement), spacing_mm=2.0)
    assert any("would still move this registration" in reason for reason in verdict.reasons)


def test_the_noise_is_that_of_the_worst_channel(pair, rng):
    moving, fixed, displacement = pair
    noisy = np.hypot(moving + 0.225 * rng.standard_normal(moving.shape), 0.225 * rng.standard_normal(moving.shape))
    two = np.concatenate([moving, noisy], axis=-1), np.concatenate([fixed, fixed], axis=-1)
    assert any("noisy" in reason for reason in judge(*two, displacement).reasons)


def test_images_of_different_channels_are_compared_by_those_that_match(pair, rng):
    moving, fixed, displacement = pair
    other = ndimage.gaussian_filter(rng.random(SHAPE), 3.0)[..., None]
    found = judge(np.concatenate([other, moving], axis=-1), fixed, displacement)
    assert found.measures["similarity"] == pytest.approx(judge(moving, fixed, displacement).measures["similarity"])


def test_a_registration_judges_itself_in_millimetres():
    from vxm_tf import register

    image = phantoms.template(SHAPE)[0][..., None]
    grid = Grid(SHAPE, np.diag((1.0, 4.0, 1.0)))
    scan = SpatialImage(image, grid)
    result = register(scan, scan, "none", refine=0)
    object.__setattr__(result, "working_grid", grid)
    object.__setattr__(result, "working_images", (image, image))
    object.__setattr__(result, "working_displacement", turning(SHAPE, 25.0, np.diag((1.0, 4.0))).astype("float32"))
    assert result.verdict().measures["turn_degrees"] == pytest.approx(25.0, abs=0.5)
