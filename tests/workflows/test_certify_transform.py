"""The certificate as JSON: what it says is what lies in the files that it names, and no other files."""

import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.registration import align
from vxm_tf.spatial import DisplacementField, Grid
from vxm_tf.spatial.transform_files import write_transform
from vxm_tf.trust import certify
from vxm_tf.workflows import register_files
from vxm_tf.workflows.certify_transform import CertifyConfig, certify_file
from vxm_tf.workflows.register_config import files_and_settings

SHAPE = (9, 10, 11)
OUTPUTS = ("moved", "moved_labels", "displacement", "transform", "inverse_transform")
FILES = ("moving", "fixed", "labels", "model", *OUTPUTS)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture
def job(tmp_path, rng, write_nibabel, constant_network):
    """Options of a registration as a dict, of a network that shifts."""
    constant_network(SHAPE, (1.0, -0.5, 0.25)).save(tmp_path / "model.keras")
    images = {name: write_nibabel(f"{name}.nii.gz", rng.random(SHAPE, "float32")) for name in ("moving", "fixed")}
    labels = write_nibabel("labels.nii.gz", rng.integers(0, 9, SHAPE).astype("int16"))
    files = {**images, "labels": labels, "model": tmp_path / "model.keras", "certify": tmp_path / "out" / "all.json"}
    files |= {name: tmp_path / "out" / f"{name}.nii.gz" for name in OUTPUTS}
    return {name: str(path) for name, path in files.items()}


@pytest.fixture
def torn(monkeypatch, rng):
    """The network answers a displacement that folds."""
    field = np.zeros((*SHAPE, 3), "float32")
    field[3:6, 4:7, 4:7] = rng.normal(0, 2, (3, 3, 3, 3))
    monkeypatch.setattr(align, "_predict", lambda *_: (field, None))


def certificate(job, **changed):
    register_files(*files_and_settings(**{**job, **changed}))
    return json.loads(Path(job["certify"]).read_text())


def test_every_file_is_named_with_its_hash(job):
    said = certificate(job)
    found = {**said["inputs"], **said["outputs"], "model": said["model"]}
    assert found == {name: {"path": job[name], "sha256": sha256(job[name])} for name in FILES}
    assert said["passes"] is True and said["settings"]["affine"] == "header" and said["software"]["vxm_tf"]
    assert "repair" not in said


def test_what_is_not_read_or_written_is_not_named(job):
    said = certificate(job, model="none", refine=0, labels="", moved_labels="", displacement="", inverse_transform="")
    assert said["model"] is None and set(said["inputs"]) == {"moving", "fixed"}
    assert set(said["outputs"]) == {"moved", "transform"}
    assert said["inverse_transform"]["passes"] and said["inverse_transform"]["inverse_consistency"]["max_mm"] < 1e-4


@pytest.mark.parametrize("repair", [False, True])
def test_it_is_about_the_displacement_that_was_written(job, torn, repair):
    said = certificate(job, repair=repair)
    written = certify(np.asarray(nibabel.load(job["displacement"]).dataobj))
    transform = said["transform"]
    for name in ("passes", "failing_voxels", "smallest_determinant", "largest_determinant", "non_diffeomorphic_volume"):
        assert transform[name] == getattr(written, name)
    assert transform["criteria"]["1*"]["failing_voxels"] == written.criteria["1*"].failing_voxels
    assert transform["passes"] is said["passes"] is repair
    assert transform["shape"] == list(SHAPE) and transform["spacing_mm"] == pytest.approx((2.0, 1.25, 1.5))
    np.testing.assert_allclose(transform["grid_affine_ras_mm"], nibabel.load(job["fixed"]).affine)
    assert ("repair" in said) == repair
    if repair:
        changed = said["repair"]["transform"]["displacement"]
        assert changed["changed_voxels"] > 0 and changed["max_change_mm"] > changed["mean_change_mm"] > 0
        assert set(said["repair"]["inverse_transform"]) == set(changed)


def test_the_sidecar_says_how_much_was_repaired(job, torn, tmp_path):
    given = {name: job[name] for name in ("moving", "fixed", "model")}
    result = register_files(*files_and_settings(**given, output_dir=str(tmp_path / "o"), repair=True))
    said = json.loads((tmp_path / "o" / "from-moving_to-fixed_mode-image_xfm.json").read_text())
    assert said["Metrics"]["repaired_voxels"] == result.repair.displacement.changed_voxels > 0
    assert said["Metrics"]["inverse_repaired_voxels"] == result.inverse_repair.changed_voxels
    found = json.loads((tmp_path / "o" / "from-moving_to-fixed_desc-certificate_xfm.json").read_text())
    assert found["passes"] and set(found["outputs"]) == {"moved", "fixed_moved", "jacobian", *OUTPUTS[3:]}


def test_a_repair_leaves_the_files_of_a_clean_registration_as_they_are(job):
    plain = certificate(job)
    arrays = [np.asarray(nibabel.load(job[name]).dataobj) for name in OUTPUTS]
    repaired = certificate(job, repair=True)
    for name, array in zip(OUTPUTS, arrays):
        np.testing.assert_array_equal(np.asarray(nibabel.load(job[name]).dataobj), array)
    for name in ("transform", "inverse_transform"):
        assert repaired[name] == plain[name]
    assert repaired["repair"]["transform"]["displacement"]["changed_voxels"] == 0


def test_a_repair_alone_needs_no_certificate(job, torn):
    register_files(*files_and_settings(**{**job, "certify": ""}, repair=True))
    assert certify(np.asarray(nibabel.load(job["displacement"]).dataobj)).passes
    assert not Path(job["certify"]).exists()


@pytest.mark.parametrize("torn_too", [False, True])
def test_transforms_in_files_are_certified_as_in_the_registration(job, request, torn_too, tmp_path):
    if torn_too:
        request.getfixturevalue("torn")
    said = certificate(job)
    config = CertifyConfig(
        transform=job["transform"], inverse_transform=job["inverse_transform"], output=str(tmp_path / "files.json")
    )
    found = certify_file(config)
    assert json.loads((tmp_path / "files.json").read_text()) == json.loads(json.dumps(found))
    assert found["passes"] == said["passes"] != torn_too
    for name in ("transform", "inverse_transform"):
        assert found["inputs"][name] == said["outputs"][name]
        assert found[name]["failing_voxels"] == said[name]["failing_voxels"]
        assert found[name]["smallest_determinant"] == pytest.approx(said[name]["smallest_determinant"], abs=1e-4)
        consistency = found[name]["inverse_consistency"], said[name]["inverse_consistency"]
        assert consistency[0] == pytest.approx(consistency[1], abs=1e-3)


def test_a_transform_in_a_file_is_looked_at_on_the_grid_of_an_image(job, tmp_path, rng):
    certificate(job)
    affine = nibabel.load(job["fixed"]).affine @ np.diag([0.5, 0.5, 0.5, 1.0])
    nibabel.save(nibabel.Nifti1Image(rng.random((17, 19, 21)), affine), tmp_path / "fine.nii.gz")
    with pytest.warns(UserWarning, match="not on the fixed image's grid"):
        found = certify_file(CertifyConfig(transform=job["transform"], fixed=str(tmp_path / "fine.nii.gz")))
    assert found["transform"]["shape"] == (17, 19, 21) and "inverse_transform" not in found
    assert found["transform"]["inverse_consistency"] is None


def test_a_fold_between_the_voxels_is_told_from_one_of_tetrahedra(trilinear_fold, tmp_path, caplog):
    grid = Grid((6, 6, 6), np.diag([2.0, 3.0, 1.5, 1.0]))
    world = DisplacementField(grid, (trilinear_fold * (2.0, 3.0, 1.5)).astype("float32"))
    write_transform(tmp_path / "fold.nii.gz", world, grid)
    caplog.set_level("INFO", logger="absl")
    config = CertifyConfig(transform=str(tmp_path / "fold.nii.gz"), output=str(tmp_path / "fold.json"))
    said = json.loads(json.dumps(certify_file(config)))
    assert json.loads((tmp_path / "fold.json").read_text()) == said
    transform = said["transform"]
    assert said["passes"] is transform["passes"] is False
    assert transform["tetrahedral"]["failing_voxels"] == transform["failing_voxels"] == 0
    assert transform["tetrahedral"]["smallest"] == transform["smallest_determinant"] >= 0.2
    assert transform["trilinear"]["failing_cubes"] == 1 and transform["trilinear"]["smallest"] < -1.0
    assert "FAILS (tetrahedral: folds nowhere, determinants 0.2" in caplog.text
    assert "trilinear: FOLDS in 1 cubes, -1." in caplog.text


def test_a_fold_between_the_voxels_is_mended_in_both_directions(job, trilinear_fold, monkeypatch):
    field = np.zeros((*SHAPE, 3), "float32")
    field[1:7, 2:8, 2:8] = trilinear_fold
    monkeypatch.setattr(align, "_predict", lambda *_: (field, None))
    before = certificate(job)
    assert before["transform"]["trilinear"]["failing_cubes"] == 1 and not before["passes"]
    after = certificate(job, repair=True)
    assert after["passes"] and all(
        after[name]["trilinear"]["bound"] > 0.04 for name in ("transform", "inverse_transform")
    )
    assert after["repair"]["transform"]["displacement"]["changed_voxels"] > 0
    from_files = CertifyConfig(transform=job["transform"], inverse_transform=job["inverse_transform"])
    assert certify_file(from_files)["passes"]


def test_a_matrix_in_a_file_needs_an_image(job, tmp_path):
    matrix = str(tmp_path / "affine.mat")
    certificate(job, model="none", refine=0, transform=matrix)
    with pytest.raises(InputError, match="affine.mat: has no grid of its own; give --fixed"):
        certify_file(CertifyConfig(transform=matrix))
    found = certify_file(CertifyConfig(transform=matrix, fixed=job["fixed"]))
    assert found["passes"] and found["transform"]["smallest_determinant"] == pytest.approx(1.0, abs=1e-4)


def test_a_certificate_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    for output, reason in ((tmp_path / "x.txt", "ends in .json"), (Path("/proc/x.json"), "cannot be written")):
        with pytest.raises(InputError, match=reason):
            certify_file(CertifyConfig(transform=str(tmp_path / "gone.nii.gz"), output=str(output)))
    with pytest.raises(InputError, match="gone.nii.gz"):
        certify_file(CertifyConfig(transform=str(tmp_path / "gone.nii.gz")))
