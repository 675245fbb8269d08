"""What headers say of the place, good and bad ones, and what is warned of."""

import warnings

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from vxm_tf.files import InputError
from vxm_tf.files.volumes import read_image, read_labels, read_series
from vxm_tf.spatial import Grid
from vxm_tf.spatial.headers import grid_of, share_grid

SHAPE = (9, 10, 11)
# Places in the header of a NIfTI-1 file, in bytes.
PIXDIM, XYZT_UNITS, QFORM_CODE, QUATERN, SROW = 76, 123, 252, 256, 280


def oblique_affine():
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (12, -9, 17), degrees=True).as_matrix() @ np.diag([-1.5, 2.0, 3.25])
    affine[:3, 3] = -31.0, 12.5, 7.25
    return affine


def patch(path, offset, values):
    content = bytearray(path.read_bytes())
    content[offset : offset + values.nbytes] = values.tobytes()
    path.write_bytes(content)
    return path


@pytest.fixture
def write(tmp_path, rng):
    """write(affine, shape, **settings) -> path of a NIfTI, both forms set unless one is given as None."""

    def make(affine=None, shape=SHAPE, *, sform=..., qform=..., unit="mm", dtype="float32"):
        affine = oblique_affine() if affine is None else affine
        image = nibabel.Nifti1Image(rng.integers(0, 99, shape).astype(dtype), affine)
        for name, form in (("sform", sform), ("qform", qform)):
            form = affine if form is ... else form
            getattr(image, f"set_{name}")(form, 0 if form is None else 1)
        image.header.set_xyzt_units(unit, "sec")
        nibabel.save(image, tmp_path / "v.nii")
        return tmp_path / "v.nii"

    return make


@pytest.fixture
def silent():
    """Any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def assert_affine(grid, affine, atol=1e-5):
    np.testing.assert_allclose(grid.affine, affine, atol=atol)


def test_a_good_header_says_where_its_voxels_are(write, silent):
    path = write()
    for read in (read_image, read_labels, read_series):
        grid = grid_of(read(path))
        assert grid.shape == SHAPE
        assert_affine(grid, oblique_affine())


@pytest.mark.parametrize("missing", ["sform", "qform"])
def test_one_form_is_enough(write, silent, missing):
    assert_affine(grid_of(read_image(write(**{missing: None}))), oblique_affine())


def test_the_format_of_freesurfer_has_one_affine(tmp_path, rng, silent):
    nibabel.save(nibabel.MGHImage(rng.random(SHAPE, dtype="float32"), oblique_affine()), tmp_path / "v.mgz")
    assert_affine(grid_of(read_image(tmp_path / "v.mgz")), oblique_affine())


def test_nifti_2_is_read_as_nifti_1(tmp_path, rng):
    image = nibabel.Nifti2Image(rng.random(SHAPE, dtype="float32"), oblique_affine())
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "v.nii")
    with pytest.warns(UserWarning, match="units of a micron"):
        assert_affine(grid_of(read_image(tmp_path / "v.nii")), np.diag([1e-3, 1e-3, 1e-3, 1]) @ oblique_affine(), 1e-8)


def test_a_big_endian_header(tmp_path, rng, silent):
    header = nibabel.Nifti1Header(endianness=">")
    image = nibabel.Nifti1Image(rng.integers(0, 9, SHAPE).astype(">i2"), oblique_affine(), header)
    nibabel.save(image, tmp_path / "v.nii")
    assert_affine(grid_of(read_series(tmp_path / "v.nii")), oblique_affine())


def test_series_and_channels_are_no_axes_of_space(write, silent):
    assert grid_of(read_series(write(shape=(*SHAPE, 3)))).shape == SHAPE
    assert grid_of(read_image(write(shape=(*SHAPE, 2)), multichannel=True)).shape == SHAPE
    assert grid_of(read_series(write(shape=(*SHAPE, 2), dtype="int32"))).shape == SHAPE


def test_without_sform_and_qform_the_place_is_unknown(write):
    with pytest.warns(UserWarning, match="v.nii: has neither sform nor qform, so its place in space is unknown"):
        grid = grid_of(read_image(write(sform=None, qform=None)))
    assert_affine(grid, np.diag([1.5, 2.0, 3.25, 1.0]))


def test_an_archive_holds_no_place(write_npz):
    with pytest.warns(UserWarning, match="holds neither voxel size nor place; taken as voxels of 1 x 1 x 1 mm"):
        assert_affine(grid_of(read_image(write_npz("v.npz"))), np.eye(4))
    sized = write_npz("v.npz", spacing_mm=np.array([1.5, 2.0, 3.25]))
    with pytest.warns(UserWarning, match="holds its voxel size but no place in space; .* 1.5 x 2 x 3.25 mm"):
        assert_affine(grid_of(read_image(sized)), np.diag([1.5, 2.0, 3.25, 1.0]))
    with pytest.warns(UserWarning, match="1.5 x 1.5 mm"):
        grid = grid_of(read_image(write_npz("v.npz", (9, 10), spacing_mm=np.array(1.5))))
    assert_affine(grid, np.diag([1.5, 1.5, 1.0]))


@pytest.mark.parametrize("spacing", [(1.5, 2.0), (1.5, 0.0, 2.0), (1.5, -1.0, 2.0), (1.5, np.nan, 2.0)])
@pytest.mark.filterwarnings("ignore:.*no place in space")
def test_a_voxel_size_that_is_none_is_refused_by_the_files_name(write_npz, spacing):
    with pytest.raises(InputError, match="v.npz: (spacing_mm is one positive|An affine holds finite)"):
        grid_of(read_image(write_npz("v.npz", spacing_mm=np.array(spacing))))


def test_forms_that_disagree_are_warned_of_and_the_sform_counts(write):
    other = oblique_affine()
    other[0, 3] += 3.0
    with pytest.warns(UserWarning, match="its sform and its qform place .* up to 3 mm apart; the sform is used"):
        assert_affine(grid_of(read_image(write(sform=oblique_affine(), qform=other))), oblique_affine())


def test_forms_that_disagree_at_the_far_end_alone_are_warned_of(write):
    other = oblique_affine() @ np.diag([1, 1, 1.01, 1])
    with pytest.warns(UserWarning, match="up to 0.325 mm apart"):
        grid_of(read_image(write(sform=oblique_affine(), qform=other)))


def test_forms_that_differ_by_rounding_agree(write, silent):
    other = oblique_affine()
    other[0, 3] += 0.05
    grid_of(read_image(write(sform=oblique_affine(), qform=other)))


@pytest.mark.parametrize("unit, mm", [("meter", 1000.0), ("micron", 0.001)])
def test_other_units_become_millimetres(write, unit, mm):
    affine = np.diag([*[1 / mm] * 3, 1.0]) @ oblique_affine()
    with pytest.warns(UserWarning) as caught:
        assert_affine(grid_of(read_image(write(affine, unit=unit))), oblique_affine(), 1e-4)
    assert [str(w.message).split(": ")[1] for w in caught] == [
        f"its header is in units of a {unit}; converted to millimetres."
    ]


@pytest.mark.filterwarnings("ignore:.*units of a meter")
def test_forms_are_compared_in_millimetres(write):
    """0.05 in metres is a lot, in micrometres nothing."""
    apart = np.eye(4)
    apart[0, 3] = 0.05
    with pytest.warns(UserWarning, match="up to 50 mm apart"):
        grid_of(read_image(write(np.eye(4), qform=apart, unit="meter")))
    apart[0, 3] = 50.0
    with pytest.warns(UserWarning) as caught:
        grid_of(read_image(write(np.eye(4), qform=apart, unit="micron")))
    assert len(caught) == 1 and "micron" in str(caught[0].message)


def test_an_unknown_unit_of_time_does_not_matter(write, silent):
    assert_affine(grid_of(read_image(patch(write(), XYZT_UNITS, np.uint8(128 + 2)))), oblique_affine())
    assert_affine(grid_of(read_image(write(unit="unknown"))), oblique_affine())


def test_an_unknown_unit_of_length_is_refused(write):
    with pytest.raises(InputError, match="v.nii: its header's unit of length has code 6; expected one of 0 .unknown"):
        grid_of(read_image(patch(write(), XYZT_UNITS, np.uint8(6))))


def test_a_qform_that_makes_no_sense_is_left_aside(write):
    path = patch(write(), QUATERN, np.full(3, 0.9, "<f4"))
    with pytest.warns(UserWarning, match="v.nii: its qform makes no sense .*; the sform is used"):
        assert_affine(grid_of(read_image(path)), oblique_affine())


@pytest.mark.parametrize("value, says", [(0.0, "singular"), (np.nan, "finite"), (np.inf, "finite")])
@pytest.mark.filterwarnings("ignore:.*place the same voxel", "ignore:invalid value")
def test_an_sform_that_places_nothing_is_refused_by_the_files_name(write, value, says):
    path = patch(write(), SROW, np.full(4, value, "<f4"))
    with pytest.raises(InputError, match=f"v.nii: .*{says}"):
        grid_of(read_image(path))


def test_a_singular_affine_is_refused_for_a_slice_too(write):
    path = patch(write(shape=(9, 10, 1), qform=None), SROW, np.zeros(4, "<f4"))
    with pytest.raises(InputError, match="v.nii: .*singular"):
        grid_of(read_image(path))


@pytest.mark.parametrize(
    "axes, rows",
    [((0, 1, 2), (0, 1)), ((0, 2, 1), (0, 2)), ((1, 2, 0), (1, 2)), ((1, 0, 2), (0, 1)), ((2, 1, 0), (1, 2))],
    ids=["axial", "coronal", "sagittal", "axial, swapped", "sagittal, swapped"],
)
def test_a_slice_lies_in_the_plane_of_two_world_axes(write, positions, silent, axes, rows):
    """Its pixels have, along these two, the places that they have as voxels."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * [-1.5, 2.0, 3.25]
    affine[:3, 3] = -31.0, 12.5, 7.25
    grid = grid_of(read_image(write(affine, (9, 10, 1))))
    assert (grid.shape, grid.spacing_mm) == ((9, 10), (1.5, 2.0))
    expected = nibabel.affines.apply_affine(affine, positions((9, 10, 1)))[:, :, 0, list(rows)]
    np.testing.assert_allclose(grid.points(), expected, atol=1e-5)


def test_a_slice_may_be_turned_within_its_plane(write, silent):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", 30, degrees=True).as_matrix() @ np.diag([1.5, 2.0, 3.0])
    grid = grid_of(read_image(write(affine, (9, 10, 1))))
    assert_affine(grid, affine[np.ix_((0, 1, 3), (0, 1, 3))])


@pytest.mark.parametrize("read, shape", [(read_labels, (9, 10)), (read_image, (9, 10)), (read_series, (9, 10))])
def test_a_slice_tilted_against_the_world_has_its_voxel_size_alone(write, read, shape):
    with pytest.warns(UserWarning, match="v.nii: its plane is tilted against the world's axes; taken with"):
        grid = grid_of(read(write(shape=(9, 10, 1))))
    assert grid.shape == shape
    assert_affine(grid, np.diag([1.5, 2.0, 1.0]))


def test_a_slice_that_another_tool_wrote(tmp_path, silent):
    image = sitk.GetImageFromArray(np.arange(20.0).reshape(4, 5))
    image.SetSpacing((2.0, 3.0))
    image.SetOrigin((10.0, 20.0))
    sitk.WriteImage(image, str(tmp_path / "v.nii"))
    grid = grid_of(read_image(tmp_path / "v.nii"))
    assert isinstance(grid, Grid) and grid.shape == (5, 4)
    assert_affine(grid, [[-2, 0, -10], [0, -3, -20], [0, 0, 1]])


def test_a_slice_without_a_place_and_without_a_third_voxel_size(write):
    path = patch(write(shape=(9, 10)), QFORM_CODE, np.zeros(2, "<i2"))
    patch(path, PIXDIM + 12, np.zeros(1, "<f4"))
    with pytest.warns(UserWarning, match="neither sform nor qform"):
        assert_affine(grid_of(read_image(path)), np.diag([1.5, 2.0, 1.0]))


def test_two_files_of_one_shape_share_a_grid_only_where_their_headers_place_their_voxels_alike(tmp_path):
    affine, shift = np.diag([2.0, 2.0, 3.0, 1.0]), np.zeros((4, 4))
    shift[:3, 3] = 0.5
    flipped = affine @ np.array([[-1.0, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    values = np.arange(6 * 6 * 6, dtype="float32").reshape(6, 6, 6)
    files = {"one": affine, "rounded": affine + 1e-3 * shift, "flipped": flipped, "moved": affine + shift}
    for name, placed in files.items():
        nibabel.save(nibabel.Nifti1Image(values, placed), tmp_path / f"{name}.nii.gz")
    nibabel.save(nibabel.Nifti1Image(values[:5], affine), tmp_path / "smaller.nii.gz")
    np.savez(tmp_path / "unplaced.npz", vol=values)
    one = read_image(tmp_path / "one.nii.gz")
    shared = {path.name for path in tmp_path.iterdir() if share_grid(one, read_image(path))}
    assert shared == {"one.nii.gz", "rounded.nii.gz", "unplaced.npz"}
