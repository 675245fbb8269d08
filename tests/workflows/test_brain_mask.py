"""A mask from a file, or from any command that writes one."""

import sys

import nibabel
import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.spatial import read_spatial_image
from vxm_tf.workflows.brain_mask import brain_mask

STRIPPER = """
import sys, nibabel, numpy
image = nibabel.load(sys.argv[1])
mask = (image.get_fdata() > 0.5).astype("uint8")
nibabel.save(nibabel.Nifti1Image(mask, image.affine), sys.argv[2])
"""


@pytest.fixture
def scan(tmp_path, rng):
    nibabel.save(nibabel.Nifti1Image(rng.random((9, 10, 11), dtype="float32"), np.eye(4)), tmp_path / "a scan.nii.gz")
    return read_spatial_image(tmp_path / "a scan.nii.gz")


@pytest.fixture
def stripper(tmp_path):
    (tmp_path / "strip.py").write_text(STRIPPER)
    return f"{sys.executable} '{tmp_path / 'strip.py'}' {{image}} {{mask}}"


def test_the_command_gets_the_image_and_its_mask_is_read(scan, stripper):
    np.testing.assert_array_equal(brain_mask(scan, command=stripper), scan.array[..., 0] > 0.5)


def test_a_file_goes_before_the_command(scan, tmp_path):
    mask = np.zeros((9, 10, 11), "uint8")
    mask[2:5] = 7
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(brain_mask(scan, tmp_path / "mask.nii.gz", "false {image} {mask}"), mask > 0)


def test_without_either_there_is_no_mask(scan):
    assert brain_mask(scan) is None


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("strip {image}", "holds {image} and {mask}"),
        ("'strip {image} {mask}", "No closing quotation"),
        ("no-such-program {image} {mask}", "cannot be run"),
        ("false {image} {mask}", "ended with 1"),
        ("true {image} {mask}", "wrote no mask"),
    ],
)
def test_a_command_that_makes_no_mask_is_told(scan, command, reason):
    with pytest.raises(InputError, match=reason):
        brain_mask(scan, command=command)


def test_an_empty_mask_is_told(scan, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 10, 11), "uint8"), np.eye(4)), tmp_path / "mask.nii.gz")
    with pytest.raises(InputError, match="is empty"):
        brain_mask(scan, tmp_path / "mask.nii.gz")


def test_no_shell_runs_the_command(scan, tmp_path):
    with pytest.raises(InputError):
        brain_mask(scan, command=f"true {{image}} {{mask}}; touch {tmp_path / 'made'}")
    assert not (tmp_path / "made").exists()
