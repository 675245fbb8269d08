"""ITK's displacement fields and composites against SimpleITK, ANTs and NiTransforms, both ways."""

import ants
import nibabel
import nitransforms.manip
import nitransforms.nonlinear
import numpy as np
import pandas
import pytest
import SimpleITK as sitk

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, dense
from vxm_tf.spatial.formats.itk import read_itk, write_itk
from vxm_tf.spatial.grid import same_grid
from vxm_tf.spatial.transforms import flattened

DENSE = (".nii.gz", ".nii", ".h5")


def read_with_sitk(path):
    if not str(path).endswith((".nii", ".nii.gz")):
        return sitk.ReadTransform(str(path))
    return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))


def resample_with_sitk(transform, fixed, moving):
    return sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0)).T


def points_through_sitk(transform, points, lps):
    return lps(np.array([transform.TransformPoint(point) for point in lps(points).tolist()]))


@pytest.mark.parametrize("extension", DENSE)
def test_simpleitk_applies_what_we_wrote(
    tmp_path, extension, transform, fixed_grid, moving_grid, image_on, sitk_on, moved_by, points_in, lps,
    assert_same_image,
):  # fmt: skip
    path = tmp_path / f"warp{extension}"
    write_itk(path, transform, fixed_grid)
    theirs = read_with_sitk(path)
    moving = image_on(moving_grid)
    fixed_image = sitk_on(image_on(fixed_grid), fixed_grid)
    assert_same_image(
        moved_by(transform, fixed_grid, moving, moving_grid),
        resample_with_sitk(theirs, fixed_image, sitk_on(moving, moving_grid)),
    )
    written = transform if extension == ".h5" else dense(transform, fixed_grid)
    points = points_in(fixed_grid)
    np.testing.assert_allclose(points_through_sitk(theirs, points, lps), written.map(points), atol=0.01)


@pytest.mark.parametrize("extension", DENSE)
def test_ants_applies_what_we_wrote(
    tmp_path, extension, transform, fixed_grid, moving_grid, image_on, nifti_on, moved_by, assert_same_image
):
    path = tmp_path / f"warp{extension}"
    write_itk(path, transform, fixed_grid)
    moving = image_on(moving_grid)
    nibabel.save(nifti_on(image_on(fixed_grid), fixed_grid), tmp_path / "fixed.nii")
    nibabel.save(nifti_on(moving, moving_grid), tmp_path / "moving.nii")
    fixed_image, moving_image = (ants.image_read(str(tmp_path / f"{name}.nii")) for name in ("fixed", "moving"))
    theirs = ants.apply_transforms(fixed_image, moving_image, [str(path)], interpolator="linear").numpy()
    assert_same_image(moved_by(transform, fixed_grid, moving, moving_grid), theirs)


@pytest.mark.parametrize("extension", [".nii.gz", ".h5", ".mat"])
def test_ants_moves_points_as_we_do(tmp_path, extension, fixed_grid, field, affine_transform, points_in, lps):
    path = tmp_path / f"warp{extension}"
    transform = affine_transform if extension == ".mat" else field
    write_itk(path, transform, fixed_grid)
    points = points_in(fixed_grid)
    table = pandas.DataFrame(lps(points), columns=["x", "y", "z"])
    theirs = ants.apply_transforms_to_points(3, table, [str(path)])
    np.testing.assert_allclose(lps(theirs[["x", "y", "z"]].to_numpy()), transform.map(points), atol=0.01)


def test_the_inverse_field_takes_points_back_in_simpleitk(tmp_path, fixed_grid, field, points_in, lps):
    points = points_in(fixed_grid, 20)
    inverse = np.zeros_like(field.displacement_mm, "float64")
    for _ in range(60):
        inverse = -(field.map(fixed_grid.points() + inverse) - fixed_grid.points() - inverse)
    write_itk(tmp_path / "forward.nii.gz", field, fixed_grid)
    write_itk(tmp_path / "back.nii.gz", DisplacementField(fixed_grid, inverse), fixed_grid)
    forward, back = (read_with_sitk(tmp_path / f"{name}.nii.gz") for name in ("forward", "back"))
    middle = fixed_grid.centre_mm + 0.4 * (points - fixed_grid.centre_mm)
    there = points_through_sitk(forward, middle, lps)
    assert np.linalg.norm(there - middle, axis=1).min() > 1
    np.testing.assert_allclose(points_through_sitk(back, there, lps), middle, atol=0.1)
    np.testing.assert_allclose(
        points_through_sitk(back, there, lps), read_itk(tmp_path / "back.nii.gz").map(there), atol=0.01
    )


@pytest.mark.parametrize("extension", [".nii.gz", ".h5"])
def test_nitransforms_reads_what_we_wrote(tmp_path, extension, transform, fixed_grid):
    path = tmp_path / f"warp{extension}"
    write_itk(path, transform, fixed_grid)
    if extension == ".h5":
        theirs = nitransforms.manip.TransformChain.from_filename(path, fmt=None)
    else:
        theirs = nitransforms.nonlinear.DenseFieldTransform.from_filename(path, fmt="itk")
    # Between voxels NiTransforms fits splines to a field where ITK interpolates linearly.
    first = flattened(transform)[0]
    if extension == ".h5" and not isinstance(first, DisplacementField):
        assert len(theirs.transforms) == 2
        np.testing.assert_allclose(theirs.transforms[0].matrix, first.matrix, atol=1e-6)
        return
    points = fixed_grid.points().reshape(-1, 3)
    np.testing.assert_allclose(theirs.map(points), transform.map(points), atol=0.01)


@pytest.mark.parametrize("extension", DENSE)
def test_our_own_file_comes_back(tmp_path, extension, transform, fixed_grid, points_in):
    path = tmp_path / f"warp{extension}"
    write_itk(path, transform, fixed_grid)
    found = read_itk(path)
    points = fixed_grid.points().reshape(-1, 3)
    np.testing.assert_allclose(found.map(points), transform.map(points), atol=1e-3)
    if extension == ".h5":
        kinds = [type(part) for part in flattened(found)]
        assert kinds == [type(part) for part in flattened(transform)]
    assert all(part.outside == "zero" for part in flattened(found) if isinstance(part, DisplacementField))


def test_a_field_that_simpleitk_wrote_is_read(tmp_path, fixed_grid, field, sitk_on, lps, points_in):
    vectors = sitk_on(lps(np.asarray(field.displacement_mm, "float64")), fixed_grid)
    sitk.WriteImage(vectors, str(tmp_path / "theirs.nii.gz"))
    sitk.WriteTransform(sitk.DisplacementFieldTransform(vectors), str(tmp_path / "theirs.h5"))
    points = points_in(fixed_grid)
    for name in ("theirs.nii.gz", "theirs.h5"):
        found = read_itk(tmp_path / name)
        assert same_grid(found.grid, fixed_grid) and found.outside == "zero"
        np.testing.assert_allclose(found.map(points), field.map(points), atol=0.01)


@pytest.mark.parametrize("intent", [1006, 1007])
def test_the_two_intents_of_vectors_mean_what_itk_takes_them_for(tmp_path, fixed_grid, field, points_in, lps, intent):
    write_itk(tmp_path / "warp.nii", field, fixed_grid)
    image = nibabel.load(tmp_path / "warp.nii")
    image.header["intent_code"] = intent
    nibabel.save(image, tmp_path / "other.nii")
    theirs, points = read_with_sitk(tmp_path / "other.nii"), points_in(fixed_grid)
    ours = read_itk(tmp_path / "other.nii").map(points)
    np.testing.assert_allclose(ours, points_through_sitk(theirs, points, lps), atol=0.01)
    assert np.allclose(ours, field.map(points), atol=0.01) == (intent == 1007)


def test_points_beyond_the_field_move_as_in_itk(tmp_path, fixed_grid, field, lps, rng):
    write_itk(tmp_path / "warp.nii.gz", field, fixed_grid)
    ours, theirs = read_itk(tmp_path / "warp.nii.gz"), read_with_sitk(tmp_path / "warp.nii.gz")
    indices = rng.uniform(-3, np.array(fixed_grid.shape) + 2, (300, 3))
    points = fixed_grid.to_world(indices)
    np.testing.assert_allclose(ours.map(points), points_through_sitk(theirs, points, lps), atol=0.01)


def test_in_a_composite_an_edge_is_repeated_as_far_as_the_image_needs(tmp_path, field, fixed_grid):
    shift = np.eye(4)
    shift[:3, 3] = 13, -8, 6
    transform = Chain((AffineTransform(shift), field))
    write_itk(tmp_path / "warp.h5", transform, fixed_grid)
    found, points = read_itk(tmp_path / "warp.h5"), fixed_grid.points()
    np.testing.assert_allclose(found.map(points), transform.map(points), atol=1e-3)
    assert np.prod(found.transforms[1].grid.shape) < 3 * np.prod(fixed_grid.shape)
    shift[:3, 3] = 1000
    far = Chain((AffineTransform(shift), field))
    write_itk(tmp_path / "far.h5", far, fixed_grid)
    found = read_itk(tmp_path / "far.h5")
    assert isinstance(found, DisplacementField)
    np.testing.assert_allclose(found.map(points), far.map(points), atol=1e-3)


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (-1, -1)])
def test_an_axial_plane_is_written_as_itk_reads_it(tmp_path, signs, sitk_on, image_on, moved_by, assert_same_image):
    affine = np.array([[2.0 * signs[0], 0, -14 * signs[0]], [0, 2.5 * signs[1], -21 * signs[1]], [0, 0, 1]])
    grid, moving_grid = Grid((15, 18), affine), Grid((28, 33), np.array([[0, 2.2, -30], [2.4, 0, -34], [0, 0, 1.0]]))
    points = (grid.points() - grid.centre_mm) / 20
    field = DisplacementField(grid, np.stack([4 * np.cos(points[..., 1]), -3 * np.sin(1 + points[..., 0])], axis=-1))
    for name in ("warp.nii.gz", "warp.h5"):
        write_itk(tmp_path / name, field, grid)
        moving = image_on(moving_grid)
        theirs = resample_with_sitk(
            read_with_sitk(tmp_path / name), sitk_on(image_on(grid), grid), sitk_on(moving, moving_grid)
        )
        assert_same_image(moved_by(field, grid, moving, moving_grid), theirs)
        np.testing.assert_allclose(read_itk(tmp_path / name).map(grid.points()), field.map(grid.points()), atol=1e-4)
    assert nibabel.load(tmp_path / "warp.nii.gz").shape == (15, 18, 1, 1, 2)


def test_a_sheared_grid_is_refused_in_nifti_and_kept_in_h5(tmp_path, lps, points_in):
    affine = np.array([[3.0, 0.5, 0, -20], [0, 2.5, 0.4, -22], [0, 0, 4, -25], [0, 0, 0, 1]])
    grid = Grid((15, 18, 13), affine)
    field = DisplacementField(grid, np.sin(grid.points() / 20).astype("float32") * 4)
    with pytest.raises(InputError, match="right angles.*h5"):
        write_itk(tmp_path / "warp.nii.gz", field, grid)
    write_itk(tmp_path / "warp.h5", field, grid)
    points = points_in(grid)
    np.testing.assert_allclose(read_itk(tmp_path / "warp.h5").map(points), field.map(points), atol=1e-3)
    theirs = points_through_sitk(read_with_sitk(tmp_path / "warp.h5"), points, lps)
    np.testing.assert_allclose(theirs, field.map(points), atol=0.01)


def assert_same_but_for_the_border(ours, theirs):
    """Where a location lies on the border of the moving image, rounding decides between a value and 0."""
    assert np.mean(np.abs(ours - theirs) > 1e-3) < 0.003


@pytest.mark.parametrize("fixed_grid", ["LIA", "oblique"], indirect=True)
def test_what_ants_registration_wrote_is_read(
    tmp_path, moving_grid, image_on, nifti_on, field, fixed_grid, moved_by, points_in
):
    moving = image_on(moving_grid)
    fixed = moved_by(field, fixed_grid, moving, moving_grid)
    nibabel.save(nifti_on(fixed, fixed_grid), tmp_path / "fixed.nii")
    nibabel.save(nifti_on(moving, moving_grid), tmp_path / "moving.nii")
    fixed_image, moving_image = (ants.image_read(str(tmp_path / f"{name}.nii")) for name in ("fixed", "moving"))
    prefix, iterations = str(tmp_path / "out_"), {"reg_iterations": (20, 10), "aff_iterations": (30, 20, 10, 5)}
    found = ants.registration(fixed_image, moving_image, "SyN", outprefix=prefix, **iterations)
    warp, affine = (read_itk(path) for path in found["fwdtransforms"])
    assert isinstance(affine, AffineTransform) and np.abs(warp.displacement_mm).max() > 0.5
    ours = Chain((warp, affine))
    assert_same_but_for_the_border(moved_by(ours, fixed_grid, moving, moving_grid), found["warpedmovout"].numpy())
    back = Chain((affine.inverse(), read_itk(found["invtransforms"][1])))
    assert_same_but_for_the_border(moved_by(back, moving_grid, fixed, fixed_grid), found["warpedfixout"].numpy())
    both = ants.apply_transforms(fixed_image, moving_image, found["fwdtransforms"], compose=str(tmp_path / "both_"))
    np.testing.assert_allclose(read_itk(both).map(fixed_grid.points()), ours.map(fixed_grid.points()), atol=0.01)
