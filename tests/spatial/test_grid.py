"""Grids against nibabel, in every orientation that an array can have."""

import itertools

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform, Grid, reoriented, reoriented_grid
from vxm_tf.spatial.grid import check_affine, same_grid

SPACING_MM = (1.5, 2.0, 3.25)
OBLIQUE = Rotation.from_euler("xyz", (12, -9, 17), degrees=True).as_matrix()
ENDS = ("LR", "PA", "IS")


def orientations(ndim):
    """All 8 of a plane, all 48 of space."""
    for order in itertools.permutations(ENDS[:ndim]):
        yield from map("".join, itertools.product(*order))


def grid_with(orientation, shape, oblique=False):
    """Axes as `orientation` has them, other voxel sizes along each, turned by some degrees if oblique."""
    ndim = len(shape)
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = 0.0
    for column, letter in enumerate(orientation):
        row = next(i for i, pair in enumerate(ENDS) if letter in pair)
        affine[row, column] = SPACING_MM[column] * (1 if letter in "RAS" else -1)
    turn = OBLIQUE if ndim == 3 else np.array([[0.96, -0.28], [0.28, 0.96]])
    affine[:-1, :-1] = (turn if oblique else np.eye(ndim)) @ affine[:-1, :-1]
    affine[:-1, -1] = (-31.0, 12.5, 7.25)[:ndim]
    return Grid(shape, affine)


@pytest.fixture
def oblique_grid(shape):
    return grid_with("PRI"[: len(shape)] if len(shape) == 3 else "PR", shape, oblique=True)


def test_48_and_8_orientations():
    assert (len(set(orientations(3))), len(set(orientations(2)))) == (48, 8)


def test_a_point_by_hand():
    grid = Grid((9, 10, 11), [[0, 0, 1.5, -20], [-2, 0, 0, 30], [0, -1.25, 0, 7], [0, 0, 0, 1]])
    np.testing.assert_array_equal(grid.to_world([1, 2, 4]), [-14, 28, 4.5])
    np.testing.assert_allclose(grid.to_indices([-14, 28, 4.5]), [1, 2, 4], atol=1e-12)
    assert (grid.ndim, grid.spacing_mm, grid.orientation) == (3, (2.0, 1.25, 1.5), "PIR")
    np.testing.assert_array_equal(grid.centre_mm, [-12.5, 22.0, 7 - 1.25 * 4.5])


def test_every_voxel_lies_where_nibabel_has_it(oblique_grid, positions):
    expected = nibabel.affines.apply_affine(oblique_grid.affine, positions(oblique_grid.shape))
    np.testing.assert_allclose(oblique_grid.points(), expected, atol=1e-12)
    np.testing.assert_array_equal(oblique_grid.slab_points(3, 7), oblique_grid.points()[3:7])
    np.testing.assert_allclose(oblique_grid.to_indices(expected), positions(oblique_grid.shape), atol=1e-10)


def test_one_axis_is_a_grid_too():
    grid = Grid((17,), np.diag([2.5, 1.0]))
    assert (grid.spacing_mm, grid.orientation) == ((2.5,), "R")
    np.testing.assert_array_equal(grid.points()[:, 0], 2.5 * np.arange(17))


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_orientation_is_nibabels(ndim, oblique):
    for orientation in orientations(ndim):
        grid = grid_with(orientation, (9, 10, 11)[:ndim], oblique)
        assert grid.orientation == orientation
        if ndim == 3:
            assert grid.orientation == "".join(nibabel.aff2axcodes(grid.affine))


@pytest.mark.parametrize("oblique", [False, True])
def test_ras_is_nibabels_closest_canonical(rng, oblique):
    array = rng.random((4, 5, 6))
    for orientation in orientations(3):
        grid = grid_with(orientation, array.shape, oblique)
        turned, turned_grid = reoriented(array, grid, "RAS")
        expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, grid.affine))
        np.testing.assert_array_equal(turned, expected.get_fdata())
        assert turned_grid.shape == expected.shape
        np.testing.assert_allclose(turned_grid.affine, expected.affine, atol=1e-12)


@pytest.mark.parametrize("channels", [(), (2,)])
def test_every_voxel_keeps_its_place_in_every_orientation(oblique_grid, channels):
    shape = oblique_grid.shape
    array = np.arange(np.prod((*shape, *channels)), dtype=">u2").reshape(*shape, *channels)
    places = oblique_grid.points().reshape(-1, oblique_grid.ndim)
    for orientation in orientations(oblique_grid.ndim):
        turned, grid = reoriented(array, oblique_grid, orientation)
        assert (grid.orientation, grid.shape, turned.dtype) == (orientation, turned.shape[: grid.ndim], array.dtype)
        voxel = turned.reshape(len(places), -1)[:, 0] // (channels or (1,))[0]
        np.testing.assert_allclose(grid.points().reshape(-1, grid.ndim), places[voxel], atol=1e-9)
        back, back_grid = reoriented(turned, grid, oblique_grid.orientation)
        np.testing.assert_array_equal(back, array)
        assert same_grid(back_grid, oblique_grid)


def test_the_grid_alone_turns_as_with_an_array(oblique_grid):
    for orientation in orientations(oblique_grid.ndim):
        expected = reoriented(np.zeros(oblique_grid.shape), oblique_grid, orientation)[1]
        np.testing.assert_array_equal(reoriented_grid(oblique_grid, orientation).affine, expected.affine)


@pytest.mark.parametrize("orientation", ["", "RA", "RAX", "RRS", "ras", "RASL"])
def test_an_orientation_that_is_none_is_refused(orientation):
    with pytest.raises(InputError, match="such as LIA; got"):
        reoriented_grid(Grid((4, 5, 6), np.eye(4)), orientation)


@pytest.mark.parametrize("voxels, same", [(0.0, True), (1e-3, True), (0.1, False)])
def test_grids_are_the_same_up_to_rounding(oblique_grid, voxels, same):
    ndim = oblique_grid.ndim
    shifted, turned = np.eye(ndim + 1), np.eye(ndim + 1)
    shifted[0, -1] = voxels
    turned[0, 1] = voxels / oblique_grid.shape[1]
    for change in (shifted, turned):
        assert same_grid(Grid(oblique_grid.shape, oblique_grid.affine @ change), oblique_grid) == same


def test_grids_of_other_shapes_are_not_the_same():
    grid = Grid((4, 5, 6), np.eye(4))
    assert not same_grid(grid, Grid((4, 5, 7), np.eye(4)))
    assert not same_grid(grid, Grid((4, 5), np.eye(3)))


def test_the_step_takes_indices_to_the_other_grids_indices(oblique_grid):
    other = grid_with("ALS"[: oblique_grid.ndim] if oblique_grid.ndim == 3 else "AL", oblique_grid.shape)
    indices = np.array([[1.0, 2.5, 3.0][: oblique_grid.ndim]])
    expected = other.to_indices(oblique_grid.to_world(indices))
    step = oblique_grid.step_from(other)
    np.testing.assert_allclose(nibabel.affines.apply_affine(step, indices), expected, atol=1e-10)


def test_what_happens_to_the_callers_affine_later_does_not_matter():
    affine = np.eye(4)
    grid, transform = Grid((4, 5, 6), affine), AffineTransform(affine)
    affine[0, 3] = 5.0
    assert grid.affine[0, 3] == transform.matrix[0, 3] == 0.0


@pytest.mark.parametrize(
    "affine, says",
    [
        (np.diag([1, 1, 0, 1.0]), "singular"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        (np.diag([1, np.nan, 1, 1]), "finite"),
        (np.diag([1, np.inf, 1, 1]), "finite"),
        (np.diag([1, 1, 1, 2.0]), "last row"),
        (np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [5, 6, 7, 1.0]]), "transposed"),
        (np.eye(4)[:3], "as many rows as columns"),
        (np.ones((3, 4)), "as many rows as columns"),
    ],
)
def test_an_affine_that_places_nothing_is_refused(affine, says):
    with pytest.raises(InputError, match=says):
        check_affine(affine)
    with pytest.raises(InputError, match=says):
        AffineTransform(affine)
    if affine.shape == (4, 4):
        with pytest.raises(InputError, match=says):
            Grid((4, 5, 6), affine)


@pytest.mark.parametrize(
    "affine", [np.diag([1e-5, 1e-5, 2e-5, 1]), np.diag([1e4, 1, 1, 1]), np.eye(4) + np.eye(4, k=1)]
)
def test_small_long_and_sheared_voxels_are_voxels(affine):
    check_affine(affine)


def test_an_affine_of_another_size_is_refused():
    with pytest.raises(InputError, match="2 axes has an affine of 3 rows"):
        Grid((4, 5), np.eye(4))


@pytest.mark.parametrize("shape", [(4, 0, 6), (4, -1, 6)])
def test_a_grid_without_voxels_is_refused(shape):
    with pytest.raises(InputError, match="at least one voxel"):
        Grid(shape, np.eye(4))
