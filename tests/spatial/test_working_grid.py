"""The grid to work on: the network's where it must, the fixed image's own voxels where it can."""

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vxm_tf.files.errors import InputError
from vxm_tf.spatial import Grid, reoriented_grid, resample, resampling
from vxm_tf.spatial.grid import same_grid
from vxm_tf.spatial.working_grid import GridSettings, content_box, isotropic_spacing_mm, working_grid

SHAPE = (15, 18, 13)


def grid_of_columns(columns, shape=SHAPE, origin=(-31.0, 12.5, 7.25)):
    affine = np.eye(len(shape) + 1)
    affine[:-1, :-1], affine[:-1, -1] = columns, origin[: len(shape)]
    return Grid(shape, affine)


def whole(grid):
    return tuple((0, size - 1) for size in grid.shape)


def box_points(grid, box):
    """World positions of all voxels of a box."""
    return grid.points()[tuple(slice(first, last + 1) for first, last in box)].reshape(-1, grid.ndim)


def assert_covers(grid, points):
    indices = grid.to_indices(points)
    assert np.all(indices > -0.01) and np.all(indices < np.array(grid.shape) - 0.99)


@pytest.fixture
def straight():
    """PIR of 2 x 1.25 x 1.5 mm."""
    return grid_of_columns([[0, 0, 1.5], [-2, 0, 0], [0, -1.25, 0]])


@pytest.fixture
def oblique():
    turn = Rotation.from_euler("xyz", (12, -9, 17), degrees=True).as_matrix()
    return grid_of_columns(turn @ np.diag([-1.5, 2.0, 3.25]))


@pytest.fixture
def never_interpolated(monkeypatch, rng):
    """never_interpolated(grid, other): resampling picks voxels."""

    def check(grid, other):
        with monkeypatch.context() as patch:
            patch.setattr(resampling, "interpolate", None)
            array = rng.random(grid.shape)
            moved = resample(array, grid, other, fill_value=-1.0)
        assert np.any(moved != -1.0) and np.all(np.isin(moved[moved != -1.0], array))

    return check


BOX = ((3, 10), (4, 13), (2, 9))


@pytest.mark.parametrize("orientation", [None, "PIR", "RAS", "LIA"])
def test_with_its_shape_and_spacing_it_is_the_fixed_images_own_grid(straight, orientation):
    own = reoriented_grid(straight, orientation or "PIR")
    for spacing in (None, own.spacing_mm, tuple(np.float32(own.spacing_mm) * 1.0001)):
        found = working_grid(straight, BOX, GridSettings(own.shape, spacing, orientation))
        assert same_grid(found, own)
        np.testing.assert_array_equal(found.affine, own.affine)


def test_an_oblique_image_has_its_own_grid_where_the_orientation_is_open(oblique, never_interpolated):
    assert same_grid(working_grid(oblique, BOX, GridSettings(SHAPE)), oblique)
    found = working_grid(oblique, BOX, GridSettings((16, 16, 16)))
    assert found.shape == (16, 16, 16)
    never_interpolated(oblique, found)


@pytest.mark.parametrize("orientation", [None, "RAS", "LIA"])
@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 20, 23), (11, 12, 13), (None, 16, None)])
def test_with_its_axes_and_spacing_the_voxels_are_the_fixed_images(straight, orientation, shape, never_interpolated):
    found = working_grid(straight, BOX, GridSettings(shape, None, orientation))
    assert found.orientation == (orientation or "PIR")
    never_interpolated(straight, found)
    assert_covers(found, box_points(straight, BOX))
    middle = found.to_indices(box_points(straight, BOX).mean(axis=0))
    assert np.abs(middle - (np.array(found.shape) - 1) / 2).max() <= 0.51


def test_headers_in_single_precision_are_the_same_lattice(straight, never_interpolated):
    affine = straight.affine.astype("float32").astype("float64") * (1 + 3e-7)
    affine[-1] = 0, 0, 0, 1
    fixed = Grid(SHAPE, affine)
    found = working_grid(fixed, BOX, GridSettings((16, 16, 16), (1.5, 1.25, 2.0), "LIA"))
    never_interpolated(fixed, found)


def test_rounding_does_not_add_up_over_many_voxels(never_interpolated):
    fixed = Grid((500, 4, 3), np.diag([0.1, 0.1, 0.1, 1.0]) + np.diag([9e-7, 0, 0], -1))
    found = working_grid(fixed, ((5, 480), (0, 3), (0, 2)), GridSettings((512, 8, 8), None, "RAS"))
    never_interpolated(fixed, found)


def test_rounding_does_not_decide_between_two_places(oblique):
    """The box's middle lies half way between those of two grids."""
    places = []
    for noise in (-1e-12, 0.0, 1e-12):
        affine = oblique.affine.copy()
        affine[:-1, -1] *= 1 + noise
        grid = working_grid(Grid(SHAPE, affine), ((3, 10), (4, 13), (2, 9)), GridSettings(shape=(11, 13, 15)))
        places.append(grid.affine)
    np.testing.assert_allclose(places, places[:1] * 3, atol=1e-9)


def test_content_that_fits_decides_the_place_content_that_does_not_the_size(straight):
    found = working_grid(straight, BOX, GridSettings((8, 8, 8), None, "PIR"))
    assert found.shape == (8, 10, 8)
    assert_covers(found, box_points(straight, BOX))
    found = working_grid(straight, whole(straight), GridSettings((8, 8, 8), (3.0, 3.0, 3.0), "PIR"))
    assert found.shape == (int(np.ceil(28 / 3)) + 1, int(np.ceil(17 * 1.25 / 3)) + 1, 8)
    assert_covers(found, straight.points())


@pytest.mark.parametrize("orientation", ["RAS", "LIA", "PIR"])
def test_spacing_and_orientation_are_what_was_asked_for(straight, oblique, orientation):
    for fixed in (straight, oblique):
        found = working_grid(fixed, BOX, GridSettings((32, 40, 48), (1.0, 1.2, 0.9), orientation))
        np.testing.assert_allclose(found.spacing_mm, (1.0, 1.2, 0.9))
        assert found.orientation == orientation
        np.testing.assert_allclose(nibabel.affines.obliquity(found.affine), 0.0, atol=1e-6)
        assert_covers(found, box_points(fixed, BOX))
        np.testing.assert_allclose(found.centre_mm, box_points(fixed, BOX).mean(axis=0), atol=1.3)


def test_without_a_shape_it_is_as_large_as_the_box(straight, oblique):
    found = working_grid(straight, BOX, GridSettings(None, (1.0, 1.0, 1.0), "RAS"))
    assert found.shape == (int(np.ceil(7 * 1.5)) + 1, 15, int(np.ceil(9 * 1.25)) + 1)
    assert_covers(found, box_points(straight, BOX))
    found = working_grid(oblique, BOX, GridSettings())
    assert found.shape == (8, 10, 8)
    np.testing.assert_allclose(found.to_world([0, 0, 0]), oblique.to_world([3, 4, 2]), atol=1e-9)


def test_the_margin_reaches_as_far_as_the_fixed_image(straight, oblique):
    for fixed in (straight, oblique):
        for margin, first, shape in ((2, (1, 2, 0), (12, 14, 12)), (50, (0, 0, 0), SHAPE)):
            found = working_grid(fixed, BOX, GridSettings(), margin)
            assert found.shape == shape
            np.testing.assert_allclose(found.to_world([0, 0, 0]), fixed.to_world(first), atol=1e-9)
    assert working_grid(straight, BOX, GridSettings(), 0).shape == (8, 10, 8)


def test_a_margin_of_coarser_voxels_is_as_many_of_them():
    fixed = Grid((100, 100), np.diag([1.0, 1.0, 1.0]))
    found = working_grid(fixed, ((40, 60), (5, 95)), GridSettings(None, (4.0, 4.0), "RA"), 3)
    ends = found.to_world([[0, 0], np.array(found.shape) - 1])[:, 0]
    np.testing.assert_allclose(ends, [27, 73], atol=2)
    assert_covers(found, np.array([[28.0, 0.0], [72.0, 99.0]]))
    assert found.shape[1] == 26


@pytest.mark.parametrize("orientation", [None, "RA", "PL"])
def test_slices_have_working_grids_too(orientation, never_interpolated):
    fixed = grid_of_columns([[0, -1.5], [2.0, 0]], (15, 18))
    found = working_grid(fixed, ((3, 10), (4, 13)), GridSettings((16, 16), None, orientation))
    assert (found.shape, found.orientation) == ((16, 16), orientation or "AL")
    never_interpolated(fixed, found)
    assert_covers(found, box_points(fixed, ((3, 10), (4, 13))))


def test_an_axis_of_one_voxel_stays_one():
    fixed = Grid((9, 10, 1), np.diag([1, 1, 5.0, 1]))
    assert working_grid(fixed, ((2, 5), (0, 9), (0, 0)), GridSettings()).shape == (4, 10, 1)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int16"])
def test_the_content_is_where_the_image_is_bright(shape, dtype):
    image = np.full((*shape, 2), 3, dtype)
    part = tuple(slice(2 + axis, 7 + axis) for axis in range(len(shape)))
    image[part] = 100
    image[(0,) * len(shape)] = 7
    assert content_box(image) == tuple((2 + axis, 6 + axis) for axis in range(len(shape)))


def test_the_content_is_that_of_every_channel():
    image = np.zeros((20, 22, 3), "float32")
    image[4:9, 6:10, 0] = 1.0
    image[7:15, 5:8, 1] = 2000.0
    assert content_box(image) == ((4, 14), (5, 9))


def test_the_content_is_dark_where_the_background_is_bright(rng):
    slide = np.full((40, 50, 1), 250.0) + rng.normal(0, 2, (40, 50, 1))
    slide[12:30, 8:41] = 150 + 60 * rng.random((18, 33, 1))
    assert content_box(slide) == ((12, 29), (8, 40))


def test_a_hot_voxel_does_not_hide_the_content_and_little_content_is_content(rng):
    image = np.zeros((20, 20, 20, 1), "float32")
    image[5:12, 3:9, 4:11] = 1 + rng.random((7, 6, 7, 1))
    image[7, 7, 7] = 1000
    assert content_box(image) == ((5, 11), (3, 8), (4, 10))
    image[:] = -1000
    image[3, 4:6, 5] = 500
    assert content_box(image) == ((3, 3), (4, 5), (5, 5))


def test_all_of_a_constant_image_is_content():
    assert content_box(np.full((4, 5, 1), 7.0)) == ((0, 3), (0, 4))


def test_a_nearly_isotropic_image_keeps_its_spacing():
    grid = Grid((100, 90, 80), np.diag([1.0, 1.1, 1.2, 1.0]))
    assert isotropic_spacing_mm(grid, whole(grid), 10**6) == pytest.approx((1.0, 1.1, 1.2))


def test_thick_slices_are_worked_on_in_cubes_of_the_same_size():
    grid = Grid((100, 90, 20), np.diag([1.0, 1.0, 8.0, 1.0]))
    assert isotropic_spacing_mm(grid, whole(grid), 10**6) == pytest.approx((2.0,) * 3)


@pytest.mark.parametrize("columns", [np.diag([1.0, 1.1, 1.2]), np.diag([0.5, 0.5, 4.0])])
def test_no_more_voxels_than_allowed(columns):
    grid = grid_of_columns(columns, (120, 110, 40))
    box = ((10, 109), (0, 99), (3, 36))
    own = isotropic_spacing_mm(grid, box, 10**9)
    coarse = isotropic_spacing_mm(grid, box, 10_000)
    extent = np.array([100, 100, 34]) * grid.spacing_mm
    assert np.prod(extent / coarse) == pytest.approx(10_000)
    np.testing.assert_allclose(np.array(coarse) / own, coarse[0] / own[0])
    found = working_grid(grid, box, GridSettings(None, coarse))
    assert 8000 < np.prod(found.shape) < 13_000


def test_a_spacing_that_is_asked_for_is_taken():
    assert isotropic_spacing_mm(Grid((9, 10), np.eye(3)), ((0, 8), (0, 9)), 1, 2.5) == (2.5, 2.5)


@pytest.mark.parametrize("orientation", ("lia", "LIAS", "LI"))
def test_a_word_that_is_no_orientation_is_refused(straight, orientation):
    with pytest.raises(InputError, match=f"such as LIA; got '{orientation}'"):
        working_grid(straight, whole(straight), GridSettings(orientation=orientation))
