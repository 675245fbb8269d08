"""Scans calibrate a network on the grid that it expects, and those of other people than it was trained on."""

import nibabel
import numpy as np
import pytest

from vxm_tf.data import Scan
from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.files.errors import InputError
from vxm_tf.models import VxmPyramid
from vxm_tf.workflows.calibration_scans import prepared_scans, scans_to_calibrate

GRID = {"shape": [24, 24, 24], "spacing_mm": [2.0, 2.0, 2.0], "orientation": "RAS"}


@pytest.fixture
def network():
    network = VxmPyramid((24, 24, 24), features=(4, 6), iterations=(1, 1))
    network.metadata["grid"] = GRID
    return network


def prepared(path, network):
    (scan,) = prepared_scans([Scan("a", path, None)], network)
    return scan


def test_a_scan_on_another_grid_is_brought_onto_the_networks(network, tmp_path):
    fine = phantom((48, 48, 48), 1).image
    # Stored from left to right instead of right to left, and with voxels of 1 mm instead of 2.
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[0, 3] = 47.0
    nibabel.save(nibabel.Nifti1Image(fine[::-1], affine), tmp_path / "fine.nii.gz")
    scan = prepared(tmp_path / "fine.nii.gz", network)
    assert scan.image.shape == (24, 24, 24, 1) and scan.spacing_mm == pytest.approx((2.0, 2.0, 2.0))
    expected = fine.reshape(24, 2, 24, 2, 24, 2).mean(axis=(1, 3, 5))
    # Content moves by at most half a voxel, to the middle of the grid.
    assert np.corrcoef(scan.image.ravel(), expected.ravel())[0, 1] > 0.9


def test_an_array_without_header_lies_on_the_networks_grid_if_its_shape_does(network, tmp_path):
    image = phantom((24, 24, 24), 1).image
    np.savez(tmp_path / "same.npz", vol=image)
    np.savez(tmp_path / "other.npz", vol=phantom((48, 48, 48), 1).image)
    scan = prepared(tmp_path / "same.npz", network)
    assert np.corrcoef(scan.image.ravel(), image.ravel())[0, 1] > 0.999 and scan.spacing_mm == (2.0, 2.0, 2.0)
    with pytest.raises(InputError, match=r"other.npz states no orientation, and its shape \(48, 48, 48\)"):
        prepared(tmp_path / "other.npz", network)


def test_scans_of_other_axes_or_channels_are_refused(network, tmp_path):
    np.savez(tmp_path / "flat.npz", vol=phantom((24, 24), 1).image)
    with pytest.raises(InputError, match="has 2 axes and 1 channel"):
        prepared(tmp_path / "flat.npz", network)


def test_people_who_did_not_train_come_first(tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    for part, name in (("train", "a"), ("train", "b"), ("val", "c")):
        (tmp_path / part).mkdir(exist_ok=True)
        np.savez(tmp_path / part / f"{name}.npz", vol=np.ones((4, 4, 4)))
    assert [scan.image.stem for scan in scans_to_calibrate(str(tmp_path), 3)] == ["c"]
    assert "2 scans in train are left out" in caplog.text and "promise too much" not in caplog.text
    assert [scan.image.stem for scan in scans_to_calibrate(str(tmp_path / "train"), 1)] == ["a"]
    assert "calibrate on other people" in caplog.text
