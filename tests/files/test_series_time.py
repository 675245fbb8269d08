"""The time axis of a series goes from each format to the other; what belongs to the reference stays behind."""

import nibabel
import numpy as np
import pytest

from vxm_tf.files.series_time import SeriesTime, time_of
from vxm_tf.files.volumes import read_image, read_series
from vxm_tf.files.writing import write_volume

SHAPE = (4, 5, 6, 3)


@pytest.fixture
def stored(rng):
    return rng.normal(size=SHAPE).astype("float32")


@pytest.fixture
def nifti(tmp_path, stored):
    """nifti(step, unit, offset) -> a series read from a NIfTI file."""

    def make(step=2.0, unit="sec", offset=0.0):
        image = nibabel.Nifti1Image(stored, np.diag([2.0, 2.0, 3.0, 1.0]))
        image.header.set_zooms((2.0, 2.0, 3.0, step))
        image.header.set_xyzt_units("mm", unit)
        image.header["toffset"] = offset
        nibabel.save(image, tmp_path / "bold.nii.gz")
        return read_series(tmp_path / "bold.nii.gz")

    return make


@pytest.fixture
def mgz(tmp_path, stored):
    """A series with a TR of 2000 ms, read from an MGZ file."""
    image = nibabel.MGHImage(stored, np.diag([2.0, 2.0, 3.0, 1.0]))
    image.header.set_zooms((2.0, 2.0, 3.0, 2000.0))
    nibabel.save(image, tmp_path / "bold.mgz")
    return read_series(tmp_path / "bold.mgz")


@pytest.mark.parametrize("step, unit", [(2.0, "sec"), (2000.0, "msec"), (2e6, "usec"), (2.0, "unknown")])
def test_the_tr_of_a_nifti_series_is_written_to_mgz_in_milliseconds(tmp_path, stored, nifti, step, unit):
    series = nifti(step, unit)
    write_volume(tmp_path / "moved.mgz", stored, series, series=series)
    assert nibabel.load(tmp_path / "moved.mgz").header.get_zooms()[3] == pytest.approx(2000.0)


def test_the_tr_of_an_mgz_series_is_written_to_nifti_in_seconds(tmp_path, stored, mgz):
    write_volume(tmp_path / "moved.nii.gz", stored, mgz, series=mgz)
    header = nibabel.load(tmp_path / "moved.nii.gz").header
    assert header.get_zooms()[3] == 2.0 and header.get_xyzt_units() == ("mm", "sec")


def test_the_tr_survives_from_mgz_to_mgz(tmp_path, stored, mgz):
    write_volume(tmp_path / "moved.mgz", stored, mgz, series=mgz)
    assert nibabel.load(tmp_path / "moved.mgz").header.get_zooms()[3] == 2000.0


def test_an_mgz_without_tr_has_no_time(stored):
    assert time_of(nibabel.MGHImage(stored, np.eye(4))) is None


@pytest.mark.parametrize("unit", ("sec", "msec", "hz", "ppm"))
def test_step_unit_and_offset_survive_from_nifti_to_nifti(tmp_path, stored, nifti, unit):
    series = nifti(1.5, unit, 0.75)
    write_volume(tmp_path / "moved.nii", stored, series, series=series)
    assert time_of(nibabel.load(tmp_path / "moved.nii")) == SeriesTime(1.5, unit, 0.75)


def test_an_axis_that_is_not_time_has_no_tr_in_mgz(tmp_path, stored, nifti):
    series = nifti(1.5, "hz")
    write_volume(tmp_path / "moved.mgz", stored, series, series=series)
    assert nibabel.load(tmp_path / "moved.mgz").header.get_zooms()[3] == 0.0


def test_what_says_no_place_is_not_taken_from_the_reference(tmp_path, stored, nifti):
    series = nifti(2.0)
    affine = np.array([[0, -2.0, 0, 5], [2, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    reference = nibabel.Nifti1Image(np.arange(120, dtype="int16").reshape(4, 5, 6), affine)
    reference.set_sform(affine, 4)
    reference.set_qform(affine, 2)
    header = reference.header
    header.set_intent("label", name="atlas")
    header.set_slope_inter(2.0, 1.0)
    for field, value in (("slice_code", 1), ("slice_end", 5), ("slice_duration", 0.1), ("cal_max", 9), ("toffset", 3)):
        header[field] = value
    header["descrip"], header["aux_file"], header["intent_p1"] = b"by hand", b"labels.txt", 4.0
    header.set_dim_info(0, 1, 2)
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"of the reference"))
    nibabel.save(reference, tmp_path / "reference.nii.gz")
    write_volume(tmp_path / "moved.nii.gz", stored, read_image(tmp_path / "reference.nii.gz"), series=series)
    image = nibabel.load(tmp_path / "moved.nii.gz")
    moved, blank = image.header, nibabel.Nifti1Header()
    for field in ("intent_code", "intent_name", "intent_p1", "slice_code", "slice_end", "slice_duration", "cal_max",
                  "toffset", "descrip", "aux_file", "dim_info"):  # fmt: skip
        assert moved[field] == blank[field], field
    assert not moved.extensions
    np.testing.assert_array_equal(np.asarray(image.dataobj), stored)
    np.testing.assert_allclose(moved.get_sform(), affine)
    np.testing.assert_allclose(moved.get_qform(), affine, atol=1e-6)
    assert (int(moved["sform_code"]), int(moved["qform_code"])) == (4, 2)
    assert moved.get_zooms() == (2.0, 2.0, 3.0, 2.0)
