"""What grid a network remembers: what its scans say, and what the user says of scans that do not."""

import nibabel
import numpy as np
import pytest

from vxm_tf.data import Scan, ScanStore
from vxm_tf.files import InputError
from vxm_tf.training import TrainConfig, train
from vxm_tf.training.recorded_grid import recorded_grid
from vxm_tf.workflows import RegisterConfig, register_files


def nifti_store(folder, rng, *affines):
    scans = []
    for number, affine in enumerate(affines):
        path = folder / f"scan{number}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(rng.random((9, 10, 11)), affine), path)
        scans.append(Scan(path.name, path, None))
    return ScanStore(scans)


LIA = np.array([[-1.5, 0, 0, 9], [0, 0, 2.0, -8], [0, -1.25, 0, 6], [0, 0, 0, 1.0]])


def test_the_grid_of_the_scans_is_recorded(tmp_path, rng):
    store = nifti_store(tmp_path, rng, LIA, LIA + 1e-6)
    grid = recorded_grid(TrainConfig(), store)
    assert grid == {"shape": [9, 10, 11], "spacing_mm": [1.5, 1.25, 2.0], "orientation": "LIA"}


def test_what_scans_do_not_share_is_left_open_and_told(tmp_path, rng, caplog):
    store = nifti_store(tmp_path, rng, LIA, np.diag([1.5, 1.25, 2.0, 1.0]))
    assert recorded_grid(TrainConfig(), store) == {"shape": [9, 10, 11], "spacing_mm": [1.5, 1.25, 2.0]}
    assert "more than one orientation (LIA, RAS)" in caplog.text


def test_files_that_do_not_say_take_what_is_given(tmp_path, rng):
    np.savez(tmp_path / "scan.npz", vol=rng.random((9, 10, 11)))
    store = ScanStore([Scan("scan", tmp_path / "scan.npz", None)])
    assert recorded_grid(TrainConfig(), store) == {"shape": [9, 10, 11]}
    given = TrainConfig(spacing_mm=(2.0,), orientation="LIA")
    assert recorded_grid(given, store) == {
        "shape": [9, 10, 11], "spacing_mm": [2.0, 2.0, 2.0], "orientation": "LIA",
    }  # fmt: skip


def test_scans_that_say_otherwise_than_the_user_are_refused(tmp_path, rng):
    store = nifti_store(tmp_path, rng, LIA)
    for config, message in (
        (
            TrainConfig(spacing_mm=(2.0,)),
            r"says that its spacing_mm is \(1.5, 1.25, 2.0\), but --spacing_mm says",
        ),
        (TrainConfig(orientation="RAS"), "says that its orientation is LIA, but --orientation says RAS"),
    ):
        with pytest.raises(InputError, match=message):
            recorded_grid(config, store)
    same = TrainConfig(spacing_mm=(1.5, 1.25, 2.0), orientation="LIA")
    assert recorded_grid(same, store) == recorded_grid(TrainConfig(), store)


@pytest.mark.parametrize("orientation", ("lia", "LIAS", "LLA", "LI"))
def test_a_word_that_is_no_orientation_is_refused(tmp_path, rng, orientation):
    np.savez(tmp_path / "scan.npz", vol=rng.random((9, 10, 11)))
    store = ScanStore([Scan("scan", tmp_path / "scan.npz", None)])
    with pytest.raises(InputError, match=f"such as LIA; got '{orientation}'"):
        recorded_grid(TrainConfig(orientation=orientation), store)


def test_a_voxel_size_has_one_number_or_one_for_each_axis(tmp_path, rng):
    with pytest.raises(ValueError, match="one for each of 3 axes; got"):
        recorded_grid(TrainConfig(spacing_mm=(2.0, 2.0)), nifti_store(tmp_path, rng, LIA))


def test_units_of_the_header_count(tmp_path, rng):
    image = nibabel.Nifti1Image(rng.random((9, 10, 11)), np.diag([25.0, 25.0, 12.5, 1.0]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "mouse.nii")
    store = ScanStore([Scan("mouse", tmp_path / "mouse.nii", None)])
    assert recorded_grid(TrainConfig(), store)["spacing_mm"] == [0.025, 0.025, 0.0125]


# Where the two axes of a slice go in the world, one column each.
PLANES = {"axial": [[2, 0], [0, 2], [0, 0]], "coronal": [[2, 0], [0, 0], [0, 2]], "sagittal": [[0, 0], [2, 0], [0, 2]]}


@pytest.mark.parametrize("plane", PLANES)
def test_a_network_of_slices_registers_slices(make_config, phantoms, tmp_path, plane):
    affine = np.eye(4)
    affine[:3, :2] = PLANES[plane]
    affine[:3, 2] = 3 * np.cross(*np.array(PLANES[plane]).T / 2)
    folder = tmp_path / "slices"
    folder.mkdir()
    for file in sorted(phantoms.glob("train/*.npz")):
        image = np.load(file)["vol"][..., None]
        nibabel.save(nibabel.Nifti1Image(image, affine), folder / f"{file.stem}.nii.gz")
    model = train(make_config(data_dir=str(folder), epochs=1, validation_fraction=0.0))
    slices = sorted(map(str, folder.iterdir()))
    result = register_files(RegisterConfig(*slices[:2], model=str(model), moved=str(tmp_path / "moved.nii.gz")))
    assert result.working_grid.spacing_mm == (2.0, 2.0)
    assert nibabel.load(tmp_path / "moved.nii.gz").shape[:2] == (32, 32)
