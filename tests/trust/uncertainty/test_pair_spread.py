"""Which way finds a pair's spread, and that register.py writes it."""

import dataclasses
import json

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.files.errors import InputError
from vxm_tf.models import VxmProbabilistic, VxmPyramid
from vxm_tf.registration import displacement_by
from vxm_tf.trust import Calibration, pair_uncertainty
from vxm_tf.trust.uncertainty.calibration import remember
from vxm_tf.trust.uncertainty.error_features import FLOOR
from vxm_tf.workflows import register_files
from vxm_tf.workflows.register_config import files_and_settings

SMALL = {"features": (4, 6), "iterations": (1, 1)}
LINEAR = np.diag([2.0, 2.0])
CALIBRATION = Calibration(2.5, 0.9, {"spread": 1.0}, "perturbations", 16, 10)


@pytest.fixture
def images(rng):
    return rng.random((2, 24, 28, 1), dtype="float32")


def registered(moving, fixed, **options):
    """The result of a registration of files with the options of register.py."""
    return register_files(*files_and_settings(moving=moving, fixed=fixed, **options))


def found(network, images, **settings):
    settings, register = {"refined": False, "linear": LINEAR, "samples": 3, **settings}, displacement_by(network)
    return pair_uncertainty(*images, register(*images), register, network, **settings)


def test_a_probabilistic_network_alone_is_sampled(images):
    network = VxmProbabilistic((24, 28), **SMALL)
    assert found(network, images).method == "samples"
    assert found(network, images, refined=True).method == "perturbations"


def test_any_other_registers_perturbed_images(images):
    answer = found(VxmPyramid((24, 28), **SMALL), images)
    assert (answer.method, answer.samples, answer.bound_mm) == ("perturbations", 3, None)
    assert answer.displacement_std_mm.shape == (24, 28)
    assert answer.displacement_std_mm.mean() > 0.1


def test_a_calibration_that_the_network_remembers_is_applied_to_it_alone(images):
    network = VxmPyramid((24, 28), **SMALL)
    remember(network, CALIBRATION)
    answer = found(network, images)
    # The spread in voxels of 2 mm, smoothed as logarithm, back in millimetres.
    smooth = gaussian_filter(np.log(answer.displacement_std_mm / 2.0 + FLOOR), 2.0)
    np.testing.assert_allclose(answer.bound_mm, 2.5 * np.exp(smooth) * 2.0, rtol=1e-4)
    assert answer.coverage == 0.9
    assert found(network, images, refined=True).bound_mm is None


def test_another_number_of_samples_than_calibrated_is_said(images, caplog):
    network = VxmPyramid((24, 28), **SMALL)
    remember(network, CALIBRATION)
    found(network, images)
    assert "with 16 samples; with 3 it may" in caplog.text
    caplog.clear()
    remember(network, dataclasses.replace(CALIBRATION, samples=3))
    found(network, images)
    assert "samples; with" not in caplog.text


def test_a_pair_beyond_the_calibration_is_said_to_be(images, caplog):
    network = VxmPyramid((24, 28), **SMALL)
    measured = {"displacement": 100.0, "spread": 100.0, "misfit": 2.0}
    grid = {"shape": [24, 28], "spacing_mm": [2.0, 2.0]}
    remember(network, dataclasses.replace(CALIBRATION, largest=measured, grid=grid))
    answer = found(network, images)
    assert answer.beyond == () and "lies outside" not in caplog.text
    assert answer.summary()["bound_in_range"] is True and "bound_beyond" in answer.summary()
    remember(network, dataclasses.replace(CALIBRATION, largest={**measured, "spread": 1e-3}, grid=grid))
    answer = found(network, images)
    (reason,) = answer.beyond
    # 0.001 voxels of 2 mm.
    assert reason.startswith("mean spread of ") and reason.endswith(" mm, in the calibration at most 0.002 mm")
    assert "lies outside what the error bound was measured on" in caplog.text and reason in caplog.text
    assert answer.summary()["bound_in_range"] is False and answer.summary()["bound_beyond"] == [reason]
    grid = {"spacing_mm": [1.0, 4.0]}
    remember(network, dataclasses.replace(CALIBRATION, largest=measured, grid=grid))
    assert found(network, images).beyond == ("voxels of 2 x 2 mm, in the calibration of 1 x 4 mm",)
    remember(network, CALIBRATION)
    assert "records no range" in found(network, images).beyond[0]


def test_a_calibration_of_thick_slices_is_applied_in_millimetres(images):
    network = VxmPyramid((24, 28), **SMALL)
    remember(network, CALIBRATION)
    answer = found(network, images, linear=np.diag([1.0, 4.0]))
    smooth = gaussian_filter(np.log(answer.displacement_std_mm / 2.0 + FLOOR), 2.0)
    np.testing.assert_allclose(answer.bound_mm, 2.5 * np.exp(smooth) * 2.0, rtol=1e-4)


@pytest.fixture
def files(tmp_path):
    """Paths of two phantoms of 24 voxels of 2 mm."""
    paths = []
    for seed in (1, 2):
        individual = phantom((24, 24, 24), seed)
        paths.append(str(tmp_path / f"sub-{seed}_T1w.nii.gz"))
        nibabel.save(nibabel.Nifti1Image(individual.image, np.diag([2.0, 2.0, 2.0, 1.0])), paths[-1])
    return paths


def test_register_py_writes_the_map_on_the_fixed_grid(files, tmp_path):
    target = tmp_path / "uncertainty.nii.gz"
    result = registered(*files, model="none", refine=3, uncertainty=str(target), samples=3)
    written = nibabel.load(target)
    assert written.shape == (24, 24, 24)
    np.testing.assert_allclose(written.affine, nibabel.load(files[1]).affine)
    np.testing.assert_allclose(written.get_fdata(), result.displacement_std_mm(), atol=1e-3)
    assert result.uncertainty.samples == 3
    assert 0.0 < result.uncertainty.summary()["median_std_mm"] < 20.0


def test_register_py_writes_the_bound_of_a_calibrated_network(files, tmp_path):
    network = VxmPyramid((24, 24, 24), **SMALL)
    network.save(tmp_path / "plain.keras")
    remember(network, CALIBRATION)
    network.save(tmp_path / "calibrated.keras")
    target = tmp_path / "bound.nii.gz"
    asked = {"error_bound": str(target), "samples": 2, "output_dir": str(tmp_path / "out")}
    result = registered(*files, model=str(tmp_path / "calibrated.keras"), **asked)
    assert result.uncertainty.bound_mm.min() > 0.0
    np.testing.assert_allclose(nibabel.load(target).get_fdata(), result.error_bound_mm(), rtol=1e-4)
    sidecars = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")]
    (summary, *_) = [sidecar["Metrics"]["uncertainty"] for sidecar in sidecars if "Metrics" in sidecar]
    # This calibration records no range.
    assert summary["bound_in_range"] is False and summary["bound_beyond"] == list(result.uncertainty.beyond)
    plain = {"model": str(tmp_path / "plain.keras")}
    for settings, message in ((plain, "Calibrate it"), ({"model": "none"}, "name it"), ({"refine": 2}, "--refine")):
        settings = {"model": str(tmp_path / "calibrated.keras"), **settings}
        with pytest.raises(InputError, match=message):
            registered(*files, **settings, **asked)


def test_nothing_is_drawn_where_nothing_is_asked(files, tmp_path):
    assert registered(*files, model="none", refine=1, moved=str(tmp_path / "moved.nii.gz")).uncertainty is None


def test_one_sample_is_refused(files, tmp_path):
    with pytest.raises(ValueError, match="samples is 2 or more, or 0; got 1"):
        registered(*files, moved=str(tmp_path / "moved.nii.gz"), samples=1)
