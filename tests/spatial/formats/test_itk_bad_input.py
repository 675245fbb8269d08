"""What is no file of ITK's, and what is said about it."""

import warnings

import h5py
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from vxm_tf.files import InputError
from vxm_tf.spatial import Chain, DisplacementField
from vxm_tf.spatial.formats.itk import is_itk_matlab, read_itk, write_itk

DENSE, AFFINE = (".nii.gz", ".nii", ".h5"), (".txt", ".tfm", ".mat")


def nifti_with(tmp_path, array, intent=1007):
    image = nibabel.Nifti1Image(array, np.eye(4))
    image.header["intent_code"] = intent
    nibabel.save(image, tmp_path / "bad.nii.gz")
    return tmp_path / "bad.nii.gz"


@pytest.mark.parametrize(
    ("array", "intent", "message"),
    [
        (np.zeros((4, 5, 6, 1, 3), "float32"), 0, "intent 1007"),
        (np.zeros((4, 5, 6, 1, 3), "float32"), 2006, "intent 1007"),
        (np.zeros((4, 5, 6), "float32"), 1007, r"shape \[X, Y, Z, 1, 3\]"),
        (np.zeros((4, 5, 6, 3), "float32"), 1007, r"got \(4, 5, 6, 3\)"),
        (np.zeros((4, 5, 6, 1, 2), "float32"), 1007, r"got \(4, 5, 6, 1, 2\)"),
        (np.full((4, 5, 6, 1, 3), np.nan, "float32"), 1007, "NaN"),
    ],
)
def test_a_field_that_is_none_is_refused(tmp_path, array, intent, message):
    with pytest.raises(InputError, match=message) as error:
        read_itk(nifti_with(tmp_path, array, intent))
    assert "bad.nii.gz" in str(error.value)


@pytest.mark.parametrize("extension", [*DENSE, *AFFINE])
def test_a_truncated_file_is_refused(tmp_path, extension, field, affine_transform, fixed_grid):
    path = tmp_path / f"half{extension}"
    write_itk(path, field if extension in DENSE else affine_transform, fixed_grid)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.6)])
    with pytest.raises(InputError, match="half"):
        read_itk(path)


def test_other_damage_is_named(tmp_path, fixed_grid, field, affine_transform):
    with pytest.raises(InputError, match="no such file"):
        read_itk(tmp_path / "absent.h5")
    path = tmp_path / "bad.txt"
    path.write_text("1 0 0 0\n")
    with pytest.raises(InputError, match="begins with '#Insight Transform File"):
        read_itk(path)
    head = "#Insight Transform File V1.0\n#Transform 0\n"
    path.write_text(f"{head}Transform: AffineTransform_double_3_3\nParameters: 0 0 0 0 0 0 0 0 0 1 2 3\n")
    with pytest.raises(InputError, match=r"bad.txt.*singular"):
        read_itk(path)
    path.write_text(f"{head}Transform: BSplineTransform_double_3_3\nParameters: 0 0 0\n")
    with pytest.raises(InputError, match="BSplineTransform.*TransformToDisplacementField"):
        read_itk(path)
    one = "Transform: TranslationTransform_double_3_3\nParameters: 1 2 3\n"
    path.write_text(f"{head}{one}#Transform 1\n{one}")
    with pytest.raises(InputError, match="2 transforms that no composite puts in order"):
        read_itk(path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["layers"] = 1
    with pytest.raises(InputError, match="no TransformGroup; it holds layers"):
        read_itk(tmp_path / "other.h5")
    with pytest.raises(InputError, match="affine matrix only.*displacement field"):
        write_itk(tmp_path / "warp.mat", Chain((affine_transform, field)), fixed_grid)
    assert not (tmp_path / "warp.mat").exists()


def test_the_two_kinds_of_mat_are_told_apart(tmp_path, fixed_grid, affine_transform):
    write_itk(tmp_path / "itk.mat", affine_transform, fixed_grid)
    (tmp_path / "fsl.mat").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    assert is_itk_matlab(tmp_path / "itk.mat") and not is_itk_matlab(tmp_path / "fsl.mat")


def test_nothing_is_said_in_writing_and_reading(tmp_path, transform, fixed_grid):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for extension in DENSE:
            write_itk(tmp_path / f"warp{extension}", transform, fixed_grid)
            read_itk(tmp_path / f"warp{extension}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["warp.h5", "warp.nii", "warp.nii.gz"]


def test_a_twin_that_itk_would_read_instead_is_named(tmp_path, field, fixed_grid):
    write_itk(tmp_path / "warp.nii", DisplacementField(fixed_grid, np.zeros_like(field.displacement_mm)), fixed_grid)
    with pytest.warns(UserWarning, match="beside it lies warp.nii, which ITK and ANTs read in its place"):
        write_itk(tmp_path / "warp.nii.gz", field, fixed_grid)
    assert sitk.ReadImage(str(tmp_path / "warp.nii.gz"))[3, 4, 5] == (0, 0, 0)
    np.testing.assert_array_equal(read_itk(tmp_path / "warp.nii.gz").displacement_mm, field.displacement_mm)
