"""A registration that folds is mended as a whole: what moves images, points and labels, both ways, is one map."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from vxm_tf.files import InputError
from vxm_tf.registration import RegistrationSettings, align, register_images
from vxm_tf.registration import result as native
from vxm_tf.registration.mending import TransformRepair
from vxm_tf.registration.optimization import reintegration as integration
from vxm_tf.spatial import DisplacementField, Grid, SpatialImage, dense, invert, resample
from vxm_tf.spatial.grid import same_grid
from vxm_tf.trust import certify
from vxm_tf.trust.folds.certificate import certify_transform
from vxm_tf.trust.folds.repair import Repair

SHAPE = (18, 20, 16)
OBLIQUE = np.array([[1.9, 0.3, -0.2, -20.0], [-0.4, 1.5, 0.3, -11.0], [0.2, -0.2, 2.6, -17.0], [0, 0, 0, 1.0]])
TURNED = np.diag([1.7, 1.7, 1.7, 1.0])
TURNED[:3, 3] = (-15.0, -16.0, -13.0)


@pytest.fixture
def images(rng):
    """(moving, fixed), smooth noise on grids of their own."""
    noise = (ndimage.gaussian_filter(rng.random((*SHAPE, 1)), (2, 2, 2, 0)).astype("float32") for _ in range(2))
    return [SpatialImage(array, Grid(SHAPE, affine)) for array, affine in zip(noise, (TURNED, OBLIQUE))]


@pytest.fixture
def register(images, constant_network, monkeypatch):
    """register(displacement, **settings): of a network that answers a displacement, on the fixed image's grid."""
    network = constant_network((None, None, None), (0, 0, 0))

    def run(displacement, **settings):
        monkeypatch.setattr(align, "_predict", lambda *_: (displacement.astype("float32"), None))
        return register_images(*images, network, RegistrationSettings(**settings))

    return run


def folding(rng):
    """Small everywhere, and torn in the middle."""
    displacement = ndimage.gaussian_filter(rng.normal(0, 3, (*SHAPE, 3)), (3, 3, 3, 0))
    displacement[7:11, 8:12, 6:10] += rng.normal(0, 2, (4, 4, 4, 3))
    return displacement


@pytest.mark.parametrize("affine", ["header", "none"])
def test_a_folding_registration_passes_after_its_repair(register, rng, affine):
    displacement = folding(rng)
    plain, repaired = register(displacement, affine=affine), register(displacement, affine=affine, repair=True)
    assert not certify(plain.displacement).passes
    assert certify(repaired.displacement).passes and certify(repaired.working_displacement).passes
    assert certify_transform(repaired.inversion.transform).passes
    assert repaired.measures()["fold_fraction"] == 0.0 < plain.measures()["fold_fraction"]
    report = repaired.repair.displacement
    changed = np.any(plain.transform.displacement_mm != repaired.transform.displacement_mm, axis=-1)
    assert report.rounds > 0 and report.changed_voxels == changed.sum() < 0.5 * changed.size
    lengths = np.linalg.norm(plain.transform.displacement_mm - repaired.transform.displacement_mm, axis=-1)
    assert report.max_change_mm == pytest.approx(lengths.max(), rel=0.3)


@pytest.mark.parametrize("affine", ["header", "none"])
def test_everything_that_is_moved_follows_the_repaired_transform(register, images, rng, affine):
    moving, fixed = images
    result = register(folding(rng), affine=affine, repair=True)
    np.testing.assert_array_equal(result.transform.displacement_mm, dense(result.chain, fixed.grid).displacement_mm)
    np.testing.assert_array_equal(result.moved, resample(moving.array, moving.grid, fixed.grid, result.transform))
    points = fixed.grid.points()[6:12, 7:13, 5:11]
    there = result.transform.map(points).reshape(-1, 3)
    np.testing.assert_allclose(result.points(there), points.reshape(-1, 3), atol=1.5)
    assert result.inversion.mean_residual_mm < 0.02


def test_a_registration_that_folds_nowhere_is_not_changed_by_a_bit(register, rng):
    smooth = ndimage.gaussian_filter(rng.normal(0, 20, (*SHAPE, 3)), (4, 4, 4, 0))
    plain, repaired = register(smooth), register(smooth, repair=True)
    assert repaired.repair == TransformRepair() and repaired.inverse_repair == Repair()
    assert plain.repair is None and plain.inverse_repair is None
    for name in ("displacement", "moved", "working_displacement"):
        np.testing.assert_array_equal(getattr(repaired, name), getattr(plain, name))
    np.testing.assert_array_equal(repaired.inverse.displacement_mm, plain.inverse.displacement_mm)


def test_an_inverse_that_folds_is_mended_and_measured_anew(register, rng, monkeypatch):
    """As where the solver finds no point that maps to a voxel: some of the inverse is noise."""

    def torn(*arguments):
        found = invert(*arguments)
        field = found.transform.displacement_mm.copy()
        field[4:6, 5:7, 6:8] += rng.normal(0, 5, (2, 2, 2, 3))
        return dataclasses.replace(found, transform=DisplacementField(found.transform.grid, field))

    smooth = ndimage.gaussian_filter(rng.normal(0, 20, (*SHAPE, 3)), (4, 4, 4, 0))
    exact = register(smooth).inversion
    monkeypatch.setattr(native, "invert", torn)
    result = register(smooth, repair=True)
    assert certify_transform(result.inverse).passes and not certify_transform(register(smooth).inverse).passes
    off = np.linalg.norm(result.inverse.displacement_mm - exact.transform.displacement_mm, axis=-1)
    assert 0 < np.count_nonzero(off) <= result.inverse_repair.changed_voxels < 0.3 * off.size
    assert 0.3 * off.max() < result.inversion.max_residual_mm < 3 * off.max()
    assert result.inversion.unsolved > 0.0


def test_a_working_grid_of_its_own_is_mended_on_the_grid_that_is_written(images, constant_network, monkeypatch, rng):
    network = constant_network((None, None, None), (0, 0, 0))
    network.metadata = {"grid": {"spacing_mm": [2.5, 2.5, 2.5], "orientation": "LIA"}}

    def predict(_, moving, fixed):
        return rng.normal(0, 2, (*fixed.shape[:-1], 3)).astype("float32"), None

    monkeypatch.setattr(align, "_predict", predict)
    result = register_images(*images, network, RegistrationSettings(repair=True))
    assert not same_grid(result.working_grid, result.fixed.grid)
    assert certify(result.displacement).passes and certify_transform(result.inversion.transform).passes


def test_more_integration_steps_are_tried_first(images, network):
    """A velocity that one squaring folds, and its integral does not."""
    hasty = network(SHAPE, amplitude=9.0, integration_steps=1)
    plain = register_images(*images, hasty, RegistrationSettings())
    result = register_images(*images, hasty, RegistrationSettings(repair=True))
    assert not certify(plain.displacement).passes and certify(result.displacement).passes
    assert result.repair.integration_steps in (3, 5) and result.repair.displacement == Repair()
    change = np.linalg.norm(result.transform.displacement_mm - plain.transform.displacement_mm, axis=-1)
    assert result.repair.integration_max_change_mm == pytest.approx(change.max()) and change.max() < 9.0
    assert result.repair.integration_mean_change_mm == pytest.approx(change.mean(), rel=1e-5) and change.mean() > 0.0


def test_more_integration_steps_that_hardly_help_are_not_taken(register, rng, monkeypatch):
    displacement = folding(rng).astype("float32")
    tried = []

    def integrate(steps):
        tried.append(steps)
        return {9: 0.95, 11: 0.2}[steps] * displacement, None

    def run(scale):
        monkeypatch.setattr(align, "network_integral", lambda *_: integration.Integral(7, integrate))
        return register(scale * displacement, repair=True).repair

    assert run(1.0).integration_steps == 11 and tried == [9, 11]
    tried.clear()
    # Nothing is tried where nothing folds.
    assert run(0.05) == TransformRepair() and tried == []
    monkeypatch.setattr(integration, "MORE_STEPS", (2,))
    assert run(1.0).integration_steps is None and run(1.0).integration_max_change_mm == 0.0
    assert tried == [9, 9]


def arrays(images):
    moving, fixed = images
    return resample(moving.array, moving.grid, fixed.grid, fill_value=None), fixed.array


@pytest.mark.parametrize("resolution", [1, 2])
def test_integrating_again_in_as_many_steps_changes_nothing(images, network, resolution):
    answering = network(SHAPE, amplitude=3.0, integration_resolution=resolution)
    moving, fixed = arrays(images)
    integral = integration.network_integral(answering, moving, fixed)
    expected = align._predict(answering, moving, fixed)
    for again, before in zip(integral.integrate(integral.steps), expected):
        np.testing.assert_allclose(again, before, atol=1e-5)
    assert np.abs(integral.integrate(integral.steps + 2)[0] - expected[0]).max() > 1e-4


def test_what_a_refinement_found_can_be_integrated_again(images):
    found = align._align(arrays(images), None, RegistrationSettings(refine=2))
    integral = found[3]
    for again, before in zip(integral.integrate(integral.steps), found):
        np.testing.assert_allclose(again, before, atol=1e-5)
    assert [steps for steps, *_ in integration.finer(integral)] == [integral.steps + 2, integral.steps + 4]


def test_a_displacement_that_is_no_integral_has_no_more_steps(constant_network):
    assert integration.network_integral(constant_network((9, 10), (0, 0)), None, None) is None
    assert list(integration.finer(None)) == []


def test_an_affine_part_that_mirrors_is_refused_before_anything_is_aligned(images, constant_network, monkeypatch):
    moving, fixed = images
    mirrored = Grid(SHAPE, np.diag([-1.0, 1.0, 1.0, 1.0]) @ fixed.grid.affine)
    moving = SpatialImage(moving.array, mirrored)
    monkeypatch.setattr(align, "_predict", lambda *_: pytest.fail("aligned"))
    with pytest.raises(InputError, match=r"--repair mends the deformation, but the affine part mirrors.*leave"):
        settings = RegistrationSettings(affine="none", repair=True)
        register_images(moving, fixed, constant_network((None, None, None), (0, 0, 0)), settings)


def test_an_affine_transform_alone_needs_no_repair(images):
    result = register_images(*images, None, RegistrationSettings(refine=0, repair=True))
    assert result.is_affine and result.inverse_repair is None
    assert dataclasses.asdict(result.repair)["displacement"]["rounds"] == 0
