"""FSL's files against fslpy, both ways."""

import nibabel
import numpy as np
import pytest
from fsl.data import constants
from fsl.data.image import Image
from fsl.transform import flirt, fnirt, nonlinear

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, dense
from vxm_tf.spatial.formats.fsl import read_fsl, to_fsl, write_fsl
from vxm_tf.spatial.grid import same_grid


@pytest.fixture
def fsl_image(nifti_on, image_on):
    """fsl_image(grid): waves on a grid, as fslpy has them."""
    return lambda grid: Image(nifti_on(image_on(grid), grid))


@pytest.fixture(params=["plain moving grid", "oblique moving grid", "moving grid is the fixed one"])
def any_moving_grid(request, moving_grid, oblique_moving_grid, fixed_grid):
    grids = {"plain moving grid": moving_grid, "oblique moving grid": oblique_moving_grid}
    return grids.get(request.param, fixed_grid)


def test_the_coordinates_are_fslpys(fixed_grid, any_moving_grid, fsl_image):
    for grid in (fixed_grid, any_moving_grid):
        np.testing.assert_allclose(to_fsl(grid), fsl_image(grid).getAffine("voxel", "fsl"), atol=1e-4)


def test_fslpy_moves_points_as_we_do(tmp_path, transform, fixed_grid, any_moving_grid, fsl_image):
    path = tmp_path / "warp.nii.gz"
    write_fsl(path, transform, fixed_grid, any_moving_grid)
    theirs = fnirt.readFnirt(str(path), fsl_image(any_moving_grid), fsl_image(fixed_grid))
    assert theirs.deformationType == "relative"
    points = fixed_grid.points().reshape(-1, 3)
    np.testing.assert_allclose(theirs.transform(points, "world", "world"), transform.map(points), atol=0.01)


def test_fslpy_moves_the_image_as_we_do(
    tmp_path, transform, fixed_grid, moving_grid, fsl_image, image_on, moved_by, assert_same_image
):
    path = tmp_path / "warp.nii.gz"
    write_fsl(path, transform, fixed_grid, moving_grid)
    moving = fsl_image(moving_grid)
    theirs = nonlinear.applyDeformation(moving, fnirt.readFnirt(str(path), moving, fsl_image(fixed_grid)))
    assert_same_image(moved_by(transform, fixed_grid, image_on(moving_grid), moving_grid), theirs)


@pytest.mark.parametrize("field_type", ["relative", "absolute"])
@pytest.mark.parametrize("told", [True, False])
def test_what_fslpy_wrote_is_read(tmp_path, field, fixed_grid, any_moving_grid, fsl_image, field_type, told, points_in):
    source, reference = fsl_image(any_moving_grid), fsl_image(fixed_grid)
    absolute = fixed_grid.points() + field.displacement_mm
    in_world = nonlinear.DeformationField(
        absolute, source, reference, srcSpace="world", refSpace="world", defType="absolute", header=reference.header
    )
    written = fnirt.toFnirt(in_world)
    assert written.deformationType == "absolute"
    data, header = written.data, written.header
    if field_type == "relative":
        data = nonlinear.convertDeformationType(written, "relative")
    header["intent_code"] = constants.FSL_FNIRT_DISPLACEMENT_FIELD
    nibabel.save(nibabel.Nifti1Image(data.astype("float32"), fixed_grid.affine, header), tmp_path / "theirs.nii.gz")
    found = read_fsl(tmp_path / "theirs.nii.gz", any_moving_grid, field_type=field_type if told else None)
    points = points_in(fixed_grid)
    np.testing.assert_allclose(found.map(points), field.map(points), atol=0.01)


def test_our_own_file_comes_back(tmp_path, transform, fixed_grid, any_moving_grid):
    path = tmp_path / "warp.nii"
    write_fsl(path, transform, fixed_grid, any_moving_grid)
    found = read_fsl(path, any_moving_grid)
    assert same_grid(found.grid, fixed_grid)
    np.testing.assert_allclose(found.displacement_mm, dense(transform, fixed_grid).displacement_mm, atol=1e-3)
    assert nibabel.load(path).header["intent_code"] == 2006 and nibabel.load(path).shape == (*fixed_grid.shape, 3)


def test_the_identity_between_two_grids_is_read_as_relative(tmp_path, fixed_grid, any_moving_grid):
    nothing = DisplacementField(fixed_grid, np.zeros((*fixed_grid.shape, 3), "float32"))
    write_fsl(tmp_path / "warp.nii.gz", nothing, fixed_grid, any_moving_grid)
    np.testing.assert_allclose(read_fsl(tmp_path / "warp.nii.gz", any_moving_grid).displacement_mm, 0, atol=1e-3)


def test_flirt_matrices_are_fslpys(tmp_path, affine_transform, fixed_grid, any_moving_grid, fsl_image, points_in):
    path = tmp_path / "affine.mat"
    source, reference = fsl_image(any_moving_grid), fsl_image(fixed_grid)
    write_fsl(path, Chain((affine_transform, affine_transform)), fixed_grid, any_moving_grid)
    points = points_in(fixed_grid)
    expected = affine_transform.map(affine_transform.map(points))
    to_fixed = flirt.fromFlirt(flirt.readFlirt(str(path)), source, reference, "world", "world")
    np.testing.assert_allclose(AffineTransform(to_fixed).inverse().map(points), expected, atol=0.01)
    np.testing.assert_allclose(read_fsl(path, any_moving_grid, fixed_grid).map(points), expected, atol=1e-6)

    theirs = flirt.toFlirt(np.linalg.inv(affine_transform.matrix), source, reference, "world", "world")
    flirt.writeFlirt(theirs, str(tmp_path / "theirs.mat"))
    found = read_fsl(tmp_path / "theirs.mat", any_moving_grid, fixed_grid)
    np.testing.assert_allclose(found.map(points), affine_transform.map(points), atol=0.01)


def field_file(tmp_path, array, intent=2006):
    image = nibabel.Nifti1Image(array, np.eye(4))
    image.header["intent_code"] = intent
    nibabel.save(image, tmp_path / "bad.nii.gz")
    return tmp_path / "bad.nii.gz"


@pytest.mark.parametrize(
    ("array", "intent", "message"),
    [
        (np.zeros((4, 5, 6, 3), "float32"), 1007, "intent 2006; got 1007"),
        (np.zeros((4, 5, 6, 3), "float32"), 2009, "spline coefficients.*fnirtfileutils"),
        (np.zeros((4, 5, 6, 1, 3), "float32"), 2006, r"shape \[X, Y, Z, 3\]"),
        (np.full((4, 5, 6, 3), np.inf, "float32"), 2006, "NaN or infinite"),
    ],
)
def test_a_field_that_is_none_is_refused(tmp_path, moving_grid, array, intent, message):
    with pytest.raises(InputError, match=message) as error:
        read_fsl(field_file(tmp_path, array, intent), moving_grid)
    assert "bad.nii.gz" in str(error.value)


def test_other_damage_is_named(tmp_path, fixed_grid, moving_grid, field):
    path = tmp_path / "warp.nii.gz"
    with pytest.raises(InputError, match="moving image is needed as well, because FSL counts in the voxels"):
        write_fsl(path, field, fixed_grid, None)
    write_fsl(path, field, fixed_grid, moving_grid)
    with pytest.raises(InputError, match="moving image is needed"):
        read_fsl(path, None)
    with pytest.raises(ValueError, match="'relative', 'absolute' or None; got 'rel'"):
        read_fsl(path, moving_grid, field_type="rel")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read.*truncated"):
        read_fsl(path, moving_grid)
    matrix = tmp_path / "bad.mat"
    matrix.write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n")
    with pytest.raises(InputError, match="4 lines of 4 numbers; got 3 of 4"):
        read_fsl(matrix, moving_grid, fixed_grid)
    with pytest.raises(InputError, match="fixed image is needed"):
        read_fsl(matrix, moving_grid)
    matrix.write_text("1 0 0 0\n0 1 0 0\n0 0 0 0\n0 0 0 1\n")
    with pytest.raises(InputError, match="singular"):
        read_fsl(matrix, moving_grid, fixed_grid)
    with pytest.raises(InputError, match="affine matrix only"):
        write_fsl(matrix, field, fixed_grid, moving_grid)
    flat = Grid((15, 18), np.eye(3))
    with pytest.raises(InputError, match="three axes; this one has 2"):
        write_fsl(path, AffineTransform(np.eye(3)), flat, flat)


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_a_field_in_another_unit_is_the_same_transform(tmp_path, field, fixed_grid, moving_grid, unit):
    """FSL does not look at the unit, so its vectors are in it, as its voxel sizes are."""
    write_fsl(tmp_path / "mm.nii", field, fixed_grid, moving_grid)
    scale = {"meter": 1e-3, "micron": 1e3}[unit]
    stored = nibabel.load(tmp_path / "mm.nii")
    image = nibabel.Nifti1Image(scale * stored.get_fdata(), np.diag([scale] * 3 + [1.0]) @ stored.affine)
    image.header["intent_code"] = 2006
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "scaled.nii")
    found = read_fsl(tmp_path / "scaled.nii", moving_grid)
    points = fixed_grid.points()
    np.testing.assert_allclose(found.map(points), field.map(points), atol=1e-2)
