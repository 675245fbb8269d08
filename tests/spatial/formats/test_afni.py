"""AFNI's files against NiTransforms, both ways."""

import nibabel
import nitransforms.linear
import nitransforms.nonlinear
import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform, Chain, Grid, dense
from vxm_tf.spatial.formats.afni import read_afni, write_afni


def test_nitransforms_moves_points_as_we_do(tmp_path, straight_transform, straight_grid, moving_grid):
    path = tmp_path / "warp.nii.gz"
    write_afni(path, straight_transform, straight_grid, moving_grid)
    theirs = nitransforms.nonlinear.DenseFieldTransform.from_filename(path, fmt="afni")
    points = straight_grid.points().reshape(-1, 3)
    np.testing.assert_allclose(theirs.map(points), straight_transform.map(points), atol=0.01)


def test_nitransforms_moves_the_image_as_we_do(
    tmp_path, straight_transform, straight_grid, moving_grid, nifti_on, image_on, moved_by, assert_same_image
):
    path = tmp_path / "warp.nii.gz"
    write_afni(path, straight_transform, straight_grid)
    theirs = nitransforms.nonlinear.DenseFieldTransform.from_filename(path, fmt="afni")
    moving = image_on(moving_grid)
    moved = nitransforms.resampling.apply(theirs, nifti_on(moving, moving_grid), order=1)
    assert_same_image(moved_by(straight_transform, straight_grid, moving, moving_grid), moved.get_fdata())


def test_what_nitransforms_wrote_is_read(tmp_path, straight_field, straight_grid, nifti_on, points_in):
    field = nifti_on(straight_field.displacement_mm, straight_grid)
    nitransforms.nonlinear.DenseFieldTransform(field).to_filename(tmp_path / "theirs.nii.gz", fmt="afni")
    found = read_afni(tmp_path / "theirs.nii.gz")
    points = points_in(straight_grid)
    np.testing.assert_allclose(found.map(points), straight_field.map(points), atol=0.01)


def test_our_own_file_comes_back(tmp_path, straight_transform, straight_grid):
    write_afni(tmp_path / "warp.nii", straight_transform, straight_grid)
    found = read_afni(tmp_path / "warp.nii")
    expected = dense(straight_transform, straight_grid).displacement_mm
    np.testing.assert_allclose(found.displacement_mm, expected, atol=1e-4)
    image = nibabel.load(tmp_path / "warp.nii")
    assert image.shape == (*straight_grid.shape, 1, 3) and image.header["intent_code"] == 0


def test_a_displacement_to_the_left_is_positive(tmp_path, straight_grid):
    left = np.eye(4)
    left[:3, 3] = -5, -3, 2
    write_afni(tmp_path / "warp.nii", AffineTransform(left), straight_grid)
    values = np.asarray(nibabel.load(tmp_path / "warp.nii").dataobj)[..., 0, :]
    np.testing.assert_allclose(values, np.broadcast_to([5, 3, 2], values.shape), atol=1e-5)
    write_afni(tmp_path / "shift.aff12.1D", AffineTransform(left), straight_grid)
    text = (tmp_path / "shift.aff12.1D").read_text().splitlines()
    assert text[0].startswith("#") and text[1] == "1 0 0 5 0 1 0 3 0 0 1 2"


def test_matrices_are_nitransforms(
    tmp_path, affine_transform, straight_grid, moving_grid, nifti_on, image_on, points_in
):
    path, points = tmp_path / "affine.aff12.1D", points_in(straight_grid)
    write_afni(path, Chain((affine_transform, affine_transform)), straight_grid, moving_grid)
    expected = affine_transform.map(affine_transform.map(points))
    np.testing.assert_allclose(read_afni(path, moving_grid, straight_grid).map(points), expected, atol=1e-6)
    fixed, moving = (nifti_on(image_on(grid), grid) for grid in (straight_grid, moving_grid))
    theirs = nitransforms.linear.Affine.from_filename(path, fmt="afni", reference=fixed, moving=moving)
    np.testing.assert_allclose(theirs.map(points), expected, atol=0.01)
    written = nitransforms.linear.Affine(affine_transform.matrix, reference=fixed)
    written.to_filename(tmp_path / "theirs.1D", fmt="afni", moving=moving)
    # NiTransforms writes six digits.
    np.testing.assert_allclose(read_afni(tmp_path / "theirs.1D").map(points), affine_transform.map(points), atol=0.01)
    (tmp_path / "square.1D").write_text("1 0 0 5 # left\n0 1 0 3\n0 0 1 2\n")
    np.testing.assert_array_equal(read_afni(tmp_path / "square.1D").matrix[:3, 3], [-5, -3, 2])


@pytest.mark.parametrize("fixed_grid", ["oblique"], indirect=True)
def test_oblique_images_are_refused(tmp_path, fixed_grid, moving_grid, oblique_moving_grid, field, affine_transform):
    straight = Grid(fixed_grid.shape, np.diag([3.0, 2.5, 4.0, 1.0]))
    for name, transform in (("warp.nii.gz", field), ("affine.1D", affine_transform)):
        with pytest.raises(InputError, match="fixed image is oblique, .* by 2.* degrees.*3dWarp -deoblique"):
            write_afni(tmp_path / name, transform, fixed_grid, moving_grid)
        with pytest.raises(InputError, match="moving image is oblique"):
            write_afni(tmp_path / name, transform, straight, oblique_moving_grid)
    assert list(tmp_path.iterdir()) == []
    write_afni(tmp_path / "affine.1D", affine_transform, straight, moving_grid)
    with pytest.raises(InputError, match=r"affine.1D: the fixed image is oblique"):
        read_afni(tmp_path / "affine.1D", moving_grid, fixed_grid)
    image = nibabel.Nifti1Image(np.zeros((*fixed_grid.shape, 1, 3), "float32"), fixed_grid.affine)
    nibabel.save(image, tmp_path / "theirs.nii")
    with pytest.raises(InputError, match=r"theirs.nii: the fixed image is oblique"):
        read_afni(tmp_path / "theirs.nii")


def test_damage_is_named(tmp_path, straight_grid, straight_field):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 3), "float32"), np.eye(4)), tmp_path / "bad.nii")
    with pytest.raises(InputError, match=r"bad.nii.*\[X, Y, Z, 1, 3\]"):
        read_afni(tmp_path / "bad.nii")
    path = tmp_path / "bad.1D"
    for text, message in [
        ("1 0 0 0 0 1 0 0 0 0 1\n", "12 numbers.*got 11"),
        ("1 0 0 0 0 1 0 0 0 0 1 0\n" * 3, "got 36. It may hold one matrix for each volume"),
        ("1 0 0 0 0 1 0 0 0 0 0 0\n", "singular"),
        ("1 0 0 zero", "cannot be read"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_afni(path)
    with pytest.raises(InputError, match="affine matrix only"):
        write_afni(path, straight_field, straight_grid)
    with pytest.raises(InputError, match="three axes"):
        write_afni(path, AffineTransform(np.eye(3)), Grid((4, 5), np.eye(3)))
    write_afni(tmp_path / "half.nii.gz", straight_field, straight_grid)
    (tmp_path / "half.nii.gz").write_bytes((tmp_path / "half.nii.gz").read_bytes()[:800])
    with pytest.raises(InputError, match="truncated"):
        read_afni(tmp_path / "half.nii.gz")
