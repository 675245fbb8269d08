"""Fields of NiftyReg and SPM hold positions; they are known by their signature and never read as displacements."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform, DisplacementField
from vxm_tf.spatial.transform_files import read_transform, write_transform


@pytest.fixture
def moved(field, fixed_grid):
    """Positions in the moving image of every fixed voxel, RAS millimetres."""
    return AffineTransform(np.diag([1.05, 0.95, 1.0, 1.0])).map(fixed_grid.points() + field.displacement_mm)


@pytest.fixture
def store(tmp_path, fixed_grid):
    """store(vectors, name, p1, unit) -> a NIfTI file of vectors with the intent "vector", on the fixed grid."""

    def make(vectors, name="", p1=0.0, unit="mm", affine=None):
        affine = fixed_grid.affine if affine is None else affine
        image = nibabel.Nifti1Image(np.asarray(vectors, "float32")[:, :, :, None], affine)
        image.header.set_intent(1007, name=name)
        image.header["intent_p1"] = p1
        image.header.set_xyzt_units(unit)
        nibabel.save(image, tmp_path / "warp.nii.gz")
        return tmp_path / "warp.nii.gz"

    return make


@pytest.mark.parametrize(("name", "format"), [("NREG_TRANS", "niftyreg"), ("Mapping", "spm")])
@pytest.mark.parametrize("told", (True, False))
def test_positions_are_positions(store, moved, fixed_grid, name, format, told):
    found = read_transform(store(moved, name), format=format if told else None)
    np.testing.assert_allclose(found.map(fixed_grid.points()), moved, atol=1e-3)


def test_simpleitk_moves_points_by_itk_s_field_as_we_do_by_niftyreg_s(tmp_path, store, moved, fixed_grid):
    found = read_transform(store(moved, "NREG_TRANS"))
    write_transform(tmp_path / "itk.nii.gz", found, fixed_grid)
    field = sitk.DisplacementFieldTransform(sitk.ReadImage(str(tmp_path / "itk.nii.gz"), sitk.sitkVectorFloat64))
    for index in ((3, 4, 5), (10, 12, 8)):
        lps = fixed_grid.to_world(index) * (-1, -1, 1)
        np.testing.assert_allclose(np.multiply(field.TransformPoint(lps), (-1, -1, 1)), moved[index], atol=1e-2)


def test_niftyreg_s_displacements_are_in_ras(store, field, fixed_grid):
    found = read_transform(store(field.displacement_mm, "NREG_TRANS", 1.0))
    np.testing.assert_allclose(found.displacement_mm, field.displacement_mm, atol=1e-5)


@pytest.mark.parametrize("kind", (2, 3, 4, 5, 6))
def test_control_points_and_velocities_are_refused(store, moved, kind):
    with pytest.raises(InputError, match=r"holds .*(control points|velocity).*reg_transform -ref FIXED -def"):
        read_transform(store(moved, "NREG_TRANS", kind))


def test_an_unknown_kind_of_niftyreg_is_refused(store, moved):
    with pytest.raises(InputError, match="intent_p1 is 0 to 6; this file's is 9"):
        read_transform(store(moved, "NREG_TRANS", 9))


@pytest.mark.parametrize("name", ("NREG_TRANS", "Mapping"))
def test_the_signature_overrules_a_wrong_format(store, moved, name):
    for format in ("itk", "greedy", "afni"):
        with pytest.raises(InputError, match=f"its intent's name is '{name}'|is oblique"):
            read_transform(store(moved, name), format=format)


def test_velocities_are_no_displacements(store, field):
    with pytest.raises(InputError, match="holds velocities"):
        read_transform(store(field.displacement_mm, "Velocity"))


@pytest.mark.parametrize("signs", ((1, 1, 1), (-1, -1, 1)))
def test_positions_without_a_signature_are_refused(store, moved, signs):
    with pytest.raises(InputError, match="it holds positions, not displacements"):
        read_transform(store(moved * signs))


def test_displacements_of_any_affine_are_not_taken_for_positions(store, fixed_grid):
    turns = {
        "identity": np.eye(3), "half size": np.eye(3) / 2, "larger": 1.5 * np.eye(3),
        "half turn": np.diag([-1.0, -1, 1]), "quarter turn": np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
        "mirror": np.diag([-1.0, 1, 1]),
    }  # fmt: skip
    points = fixed_grid.points()
    for matrix in turns.values():
        displacement = points @ matrix.T + (40, -30, 20) - points
        found = read_transform(store(displacement * (-1, -1, 1)))
        np.testing.assert_allclose(found.displacement_mm, displacement, atol=1e-3)


def test_holes_in_a_field_are_counted(store, moved):
    moved[2, 3, 4] = np.nan
    with pytest.raises(InputError, match="no position at 1 of 3510 voxels"):
        read_transform(store(moved, "Mapping"))


@pytest.mark.parametrize("unit", ("meter", "micron"))
def test_a_field_in_another_unit_lies_where_simpleitk_places_it(store, field, fixed_grid, unit):
    scale = {"meter": 1e-3, "micron": 1e3}[unit]
    affine = np.diag([scale, scale, scale, 1.0]) @ fixed_grid.affine
    path = store(field.displacement_mm * (-1, -1, 1), unit=unit, affine=affine)
    found, theirs = read_transform(path), sitk.ReadImage(str(path))
    np.testing.assert_allclose(found.grid.spacing_mm, theirs.GetSpacing(), rtol=1e-5)
    np.testing.assert_allclose(found.grid.affine[:3, 3] * (-1, -1, 1), theirs.GetOrigin(), rtol=1e-4)
    np.testing.assert_allclose(found.displacement_mm, field.displacement_mm, atol=1e-5)


@pytest.mark.parametrize("unit", ("meter", "micron"))
def test_positions_are_in_the_unit_of_their_grid(store, moved, fixed_grid, unit):
    scale = {"meter": 1e-3, "micron": 1e3}[unit]
    path = store(moved * scale, "NREG_TRANS", unit=unit, affine=np.diag([scale] * 3 + [1.0]) @ fixed_grid.affine)
    np.testing.assert_allclose(read_transform(path).map(fixed_grid.points()), moved, atol=1e-2)


@pytest.mark.parametrize(("format", "name"), [("niftyreg", "NREG_TRANS"), ("spm", "Mapping")])
def test_what_is_written_has_the_signature_and_positions(tmp_path, field, fixed_grid, format, name):
    write_transform(tmp_path / "warp.nii", field, fixed_grid, format=format)
    image = nibabel.load(tmp_path / "warp.nii")
    assert image.shape == (*fixed_grid.shape, 1, 3)
    assert image.header.get_intent() == ("vector", (), name) and image.header["intent_p1"] == 0
    positions = fixed_grid.points() + field.displacement_mm
    np.testing.assert_allclose(np.asarray(image.dataobj)[:, :, :, 0], positions, atol=1e-3)


def test_a_field_of_two_axes(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((6, 7, 1, 1, 2), "float32"), np.diag([2.0, 3.0, 1.0, 1.0]))
    points = np.stack(np.meshgrid(2.0 * np.arange(6), 3.0 * np.arange(7), indexing="ij"), -1)
    image = nibabel.Nifti1Image((points + (1, -2)).reshape(6, 7, 1, 1, 2).astype("float32"), image.affine)
    image.header.set_intent(1007, name="NREG_TRANS")
    nibabel.save(image, tmp_path / "flat.nii")
    found = read_transform(tmp_path / "flat.nii")
    assert isinstance(found, DisplacementField)
    np.testing.assert_allclose(found.displacement_mm, np.broadcast_to((1.0, -2.0), (6, 7, 2)), atol=1e-6)


def test_displacements_are_not_read_as_positions(store, field):
    for format in ("spm", "niftyreg"):
        with pytest.raises(InputError, match="no positions: they lie close together, as displacements do"):
            read_transform(store(field.displacement_mm), format=format)


@pytest.mark.parametrize(("name", "format"), [("NREG_TRANS", "spm"), ("Mapping", "niftyreg")])
def test_one_tool_s_field_is_not_read_as_the_other_s(store, moved, name, format):
    with pytest.raises(InputError, match=f"its intent's name is '{name}'; the format that it was taken for has"):
        read_transform(store(moved, name, 1.0), format=format)


@pytest.mark.parametrize("format", ("spm", "niftyreg"))
def test_positions_without_a_signature_are_read_where_the_format_is_given(store, moved, fixed_grid, format):
    found = read_transform(store(moved), format=format)
    np.testing.assert_allclose(found.map(fixed_grid.points()), moved, atol=1e-3)
