"""Resampling against nibabel and SimpleITK, ramps that must stay ramps, and lattices that must stay untouched."""

import itertools

import nibabel
import nibabel.processing
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, resample, resampling
from vxm_tf.spatial.resampling import smoothed_for
from vxm_tf.spatial.transforms import identity, slabs

SHAPE = (9, 10, 11)


def turned_grid(shape, spacing_mm, degrees, centre_mm=(5, -12, 20)):
    ndim = len(shape)
    angles = (degrees[0], degrees[1], degrees[2]) if ndim == 3 else (0, 0, degrees[2])
    affine = np.eye(ndim + 1)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()[:ndim, :ndim]
    affine[:-1, :-1] = turn @ np.diag(spacing_mm[:ndim])
    affine[:-1, -1] = np.array(centre_mm[:ndim]) - affine[:-1, :-1] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def lattice_grid(grid, order, signs, shift, shape):
    """Another grid whose voxels fall on a grid's voxels."""
    step = np.eye(grid.ndim + 1)
    step[:-1, :-1] = np.eye(grid.ndim)[:, order] * signs
    step[:-1, -1] = shift
    return Grid(shape, grid.affine @ step)


def shifted(ndim, *shift_mm):
    matrix = np.eye(ndim + 1)
    matrix[:-1, -1] = shift_mm
    return AffineTransform(matrix)


@pytest.fixture
def grid(shape):
    """Oblique and anisotropic."""
    return turned_grid(shape, (1.5, -2.0, 3.25), (12, -9, 17))


@pytest.fixture
def to_grid(shape):
    """Turned, flipped and spaced otherwise; it reaches beyond `grid` on some sides."""
    return turned_grid(tuple(size + 3 for size in shape[::-1]), (-1.75, 1.25, 2.0), (-31, 4, 55))


@pytest.fixture
def image(rng, grid):
    return rng.normal(size=grid.shape).astype("float32")


@pytest.fixture
def centres_inside(grid, to_grid):
    """Voxels of `to_grid` between the outermost voxel centres of `grid`."""
    indices = grid.to_indices(to_grid.points())
    inside = np.all((indices >= 0) & (indices <= np.array(grid.shape) - 1), axis=-1)
    assert 0.1 < inside.mean() < 0.9
    return inside


def test_a_ramp_of_the_world_is_the_same_ramp_on_any_grid(grid, to_grid, centres_inside, rng):
    slope = rng.normal(size=grid.ndim)
    moved = resample(grid.points() @ slope, grid, to_grid)
    assert moved.dtype == np.float64
    np.testing.assert_allclose(moved[centres_inside], (to_grid.points() @ slope)[centres_inside], atol=1e-10)


def test_a_ramp_follows_the_transform(grid, to_grid, rng):
    matrix = np.eye(grid.ndim + 1)
    matrix[:-1, :-1] = 0.3 * np.eye(grid.ndim) + rng.normal(0, 0.05, (grid.ndim, grid.ndim))
    matrix[:-1, -1] = grid.centre_mm - matrix[:-1, :-1] @ to_grid.centre_mm
    transform = AffineTransform(matrix)
    ramps = grid.points()
    np.testing.assert_allclose(resample(ramps, grid, to_grid, transform), transform.map(to_grid.points()), atol=1e-10)


def test_inside_it_agrees_with_nibabel(rng):
    grid, to_grid = turned_grid(SHAPE, (1.5, -2.0, 3.25), (12, -9, 17)), turned_grid(SHAPE, (2, 1, 3), (5, 6, -70))
    array = rng.normal(size=SHAPE)
    source = nibabel.Nifti1Image(array, grid.affine)
    for order, interpolation in ((0, "nearest"), (1, "linear")):
        theirs = nibabel.processing.resample_from_to(source, (to_grid.shape, to_grid.affine), order=order)
        indices = grid.to_indices(to_grid.points())
        inside = np.all((indices > 0) & (indices < np.array(SHAPE) - 1), axis=-1)
        ours = resample(array, grid, to_grid, interpolation=interpolation)
        assert inside.sum() > 100
        np.testing.assert_allclose(ours[inside], theirs.get_fdata()[inside], atol=1e-6)


@pytest.mark.parametrize("interpolation, theirs", [("linear", sitk.sitkLinear), ("nearest", sitk.sitkNearestNeighbor)])
def test_everywhere_it_agrees_with_simpleitk(grid, to_grid, image, sitk_on, interpolation, theirs):
    reference = sitk_on(np.zeros(to_grid.shape), to_grid)
    expected = sitk.GetArrayFromImage(sitk.Resample(sitk_on(image, grid), reference, sitk.Transform(), theirs, 9.0)).T
    ours = resample(image, grid, to_grid, interpolation=interpolation, fill_value=9.0)
    assert 0.05 < np.mean(ours == 9.0) < 0.95
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_the_border_is_half_a_voxel_wide_as_in_simpleitk(sitk_on):
    grid = Grid((4, 5), np.eye(3))
    values = 1.0 + np.arange(20.0).reshape(4, 5)
    for shift in (-0.49, -0.51, 0.49, 0.51):
        to_grid = Grid((4, 5), shifted(2, shift, 0.1).matrix)
        theirs = sitk.Resample(sitk_on(values, grid), sitk_on(values, to_grid), sitk.Transform(), sitk.sitkLinear, 0.0)
        ours = resample(values, grid, to_grid)
        np.testing.assert_allclose(ours, sitk.GetArrayFromImage(theirs).T, atol=1e-10)
        outermost = ours[0 if shift < 0 else -1]
        assert np.all(outermost == 0) if abs(shift) > 0.5 else np.all(outermost > 0)


def lattices(ndim):
    return [*itertools.product(itertools.permutations(range(ndim)), itertools.product((1, -1), repeat=ndim))]


@pytest.mark.parametrize("fill_value", [0.0, None])
def test_flips_swaps_and_whole_voxels_change_no_value(grid, image, monkeypatch, fill_value):
    ndim = grid.ndim
    for number, (order, signs) in enumerate(lattices(ndim)):
        corner = [size - 1 if sign < 0 else 0 for size, sign in zip(np.array(grid.shape)[list(order)], signs)]
        first = np.zeros(ndim)
        first[list(order)] = corner
        shift = np.array([3, -2, 1])[:ndim] * (number % 3)
        shape = tuple(np.array(grid.shape)[list(order)] + number % 2)
        to_grid = lattice_grid(grid, list(order), signs, first + shift, shape)
        expected = resample(image, grid, to_grid, identity(ndim), fill_value=fill_value)
        with monkeypatch.context() as patch:
            patch.setattr(resampling, "interpolate", None)
            for array, interpolation in ((image, "linear"), (image, "nearest"), (image.astype(">f8"), "linear")):
                moved = resample(array, grid, to_grid, interpolation=interpolation, fill_value=fill_value)
                assert moved.dtype == array.dtype.newbyteorder("=")
                np.testing.assert_allclose(moved, expected, atol=1e-5)
                assert set(moved.ravel().tolist()) <= {0.0, *image.ravel().tolist()}
        if not shift.any() and number % 2 == 0:
            flips = tuple(slice(None, None, sign) for sign in signs)
            np.testing.assert_array_equal(moved, np.transpose(image, order)[flips])


def test_a_lattice_by_hand():
    values = np.arange(12, dtype="int16").reshape(3, 4)
    grid = Grid((3, 4), np.diag([2.0, 3.0, 1.0]))
    to_grid = Grid((4, 2), [[0, 2, 2], [-3, 0, 12], [0, 0, 1]])
    expected = [[-5, -5], [7, 11], [6, 10], [5, 9]]
    moved = resample(values, grid, to_grid, interpolation="nearest", fill_value=-5)
    assert moved.dtype == np.int16
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_array_equal(resample(values, grid, to_grid, fill_value=None), [[7, 11], [7, 11], [6, 10], [5, 9]])


def test_grids_that_do_not_meet_give_the_fill_value(grid, image):
    far = Grid(grid.shape, shifted(grid.ndim, *[1000.0] * grid.ndim).matrix @ grid.affine)
    whole = lattice_grid(grid, range(grid.ndim), 1, 50, grid.shape)
    for to_grid in (far, whole):
        np.testing.assert_array_equal(resample(image, grid, to_grid, fill_value=-3.0), np.full(grid.shape, -3.0))


@pytest.mark.parametrize("voxels, untouched", [(1e-5, True), (0.01, False), (0.5, False)])
def test_rounding_is_not_interpolated_a_hundredth_of_a_voxel_is(grid, image, voxels, untouched):
    to_grid = lattice_grid(grid, range(grid.ndim), 1, [voxels, *[0] * (grid.ndim - 1)], grid.shape)
    moved = resample(image, grid, to_grid)
    assert np.array_equal(moved, image) == untouched
    expected = (1 - voxels) * image[:-1] + voxels * image[1:]
    np.testing.assert_allclose(moved[:-1], image[:-1] if untouched else expected, atol=1e-5)


def test_a_little_turn_is_no_lattice_if_it_moves_the_far_end():
    grid = Grid((4, 400), np.eye(3))
    to_grid = Grid((4, 400), np.array([[1, 1e-3, 0], [0, 1, 0], [0, 0, 1]]))
    values = np.broadcast_to(np.arange(4.0)[:, None], (4, 400))
    np.testing.assert_allclose(resample(values, grid, to_grid)[1], 1 + 1e-3 * np.arange(400), atol=1e-9)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", ">i2", "int32", "uint16"])
def test_labels_keep_their_type_and_values(grid, to_grid, rng, dtype):
    labels = rng.choice([0, 1] if dtype == "bool" else [0, 3, 77, 120], grid.shape).astype(dtype)
    transform = shifted(grid.ndim, *(0.3, -0.4, 0.7)[: grid.ndim])
    for target, moving_to in ((to_grid, transform), (to_grid, None), (grid, None)):
        moved = resample(labels, grid, target, moving_to, interpolation="nearest")
        assert moved.dtype == np.dtype(dtype).newbyteorder("=") and moved.shape == target.shape
        assert set(np.unique(moved)) == set(np.unique(labels))


def test_moved_at_x_is_moving_at_the_transform_of_x():
    grid = Grid((6, 5), np.diag([2.0, 3.0, 1.0]))
    moving = np.arange(30.0).reshape(6, 5)
    moved = resample(moving, grid, grid, shifted(2, 2.0, -3.0), fill_value=-1)
    np.testing.assert_allclose(moved[:-1, 1:], moving[1:, :-1], atol=1e-9)
    assert np.all(moved[-1] == -1) and np.all(moved[:, 0] == -1)


def test_two_half_steps_are_one_whole_step(grid, image):
    """Interpolated twice, it would be smooth."""
    step = grid.affine[:-1, 0] / 2
    half = DisplacementField(grid, np.broadcast_to(step, (*grid.shape, grid.ndim)))
    moved = resample(image, grid, grid, Chain((half, shifted(grid.ndim, *step))))
    np.testing.assert_allclose(moved[:-1], image[1:], atol=1e-5)


def test_channels_move_like_images(grid, to_grid, rng):
    array = rng.normal(size=(*grid.shape, 3)).astype("float32")
    for target in (to_grid, lattice_grid(grid, range(grid.ndim), 1, 2, grid.shape)):
        moved = resample(array, grid, target)
        assert moved.shape == (*target.shape, 3)
        for channel in range(3):
            np.testing.assert_array_equal(moved[..., channel], resample(array[..., channel], grid, target))


def test_pieces_in_any_number_give_the_same(grid, to_grid, image, monkeypatch):
    expected = resample(image, grid, to_grid)
    monkeypatch.setattr(slabs, "__defaults__", (100,))
    assert len(slabs(to_grid.shape)) > 2
    np.testing.assert_array_equal(resample(image, grid, to_grid), expected)


@pytest.mark.parametrize("fill_value", [-1.0, 0.5, 300.0])
def test_any_fill_value_does_for_interpolated_integers(fill_value):
    """On a lattice as off it."""
    grid, values = Grid((4, 5), np.eye(3)), np.arange(20, dtype="uint8").reshape(4, 5)
    for shift in (1.0, 1.25):
        moved = resample(values, grid, Grid((4, 5), shifted(2, shift, 0).matrix), fill_value=fill_value)
        assert moved.dtype == np.float32
        np.testing.assert_array_equal(moved[-1], np.full(5, fill_value))


@pytest.mark.parametrize("shift", [1.0, 1.25])
def test_what_cannot_be_is_refused_on_a_lattice_as_off_it(shift):
    grid, values = Grid((4, 5), np.eye(3)), np.zeros((4, 5), "uint8")
    to_grid = Grid((4, 5), shifted(2, shift, 0).matrix)
    with pytest.raises(ValueError, match="got 'cubic'"):
        resample(values, grid, to_grid, interpolation="cubic")
    with pytest.raises(ValueError, match="cannot hold"):
        resample(values, grid, to_grid, interpolation="nearest", fill_value=-1)


def test_a_slice_of_a_volume_and_a_volume_from_a_slice(rng):
    array = rng.normal(size=(9, 10, 1))
    grid = Grid((9, 10, 1), np.diag([1, 1, 5.0, 1]))
    turned = turned_grid((9, 10, 1), (1, 1, 5), (0, 0, 30), (4, 4.5, 1))
    np.testing.assert_array_equal(resample(array, grid, grid), array)
    moved = resample(array, grid, turned)
    np.testing.assert_allclose(moved, resample(array, grid, turned, shifted(3, 0, 0, 1.0)), atol=1e-10)
    thick = Grid((9, 10, 7), shifted(3, 0, 0, -3).matrix)
    assert np.array_equal(np.any(resample(array, grid, thick), axis=(0, 1)), [0, 1, 1, 1, 1, 1, 0])


def test_a_finer_grid_needs_no_smoothing(rng):
    array = rng.normal(size=(9, 10, 1))
    assert smoothed_for(array, Grid((9, 10), np.eye(3)), Grid((18, 20), np.diag([0.5, 0.9, 1]))) is array


def test_an_axis_is_smoothed_as_much_as_it_becomes_coarser(rng):
    array = rng.normal(size=(*SHAPE, 2)).astype("float32")
    grid = Grid(SHAPE, np.diag([1.0, 2.0, 1.0, 1.0]))
    # The new grid's axes are the old one's third, first and second.
    to_grid = Grid((3, 9, 5), [[0, 1, 0, 0], [0, 0, -6, 9], [4, 0, 0, 0], [0, 0, 0, 1]])
    expected = ndimage.gaussian_filter(array, (0, 1, 1.5, 0), mode="nearest")
    np.testing.assert_allclose(smoothed_for(array, grid, to_grid), expected, atol=1e-6)


def test_smoothing_does_not_depend_on_how_the_grids_are_turned(rng):
    array = rng.normal(size=(*SHAPE, 1)).astype("float32")
    grid = Grid(SHAPE, np.eye(4))
    straight, turned = (turned_grid((5, 5, 5), (3.0,) * 3, degrees) for degrees in ((0, 0, 0), (40, -30, 45)))
    np.testing.assert_allclose(smoothed_for(array, grid, turned), smoothed_for(array, grid, straight), atol=1e-6)


def test_smoothing_keeps_a_constant_up_to_the_edge_and_the_callers_array():
    array = np.full((9, 10, 1), 7, "int16")
    smooth = smoothed_for(array, Grid((9, 10), np.eye(3)), Grid((3, 3), np.diag([4.0, 4.0, 1.0])))
    assert (smooth.dtype, array.dtype) == (np.float32, np.int16)
    np.testing.assert_allclose(smooth, 7.0, rtol=1e-6)


def test_a_voxel_that_is_nan_is_left_out_and_not_spread(rng):
    """One axis by hand: a shift of a quarter and of three quarters of a voxel over [1, 2, NaN, 4]."""
    grid = Grid((4, 4, 4), np.eye(4))
    image = np.broadcast_to(np.array([1.0, 2.0, np.nan, 4.0], "float32")[:, None, None], (4, 4, 4)).copy()
    quarter = resample(image, grid, grid, shifted(3, 0.25, 0, 0))[:, 1, 1]
    np.testing.assert_allclose(quarter, [1.25, 2.0, np.nan, 4.0], rtol=1e-6)
    most = resample(image, grid, grid, shifted(3, 0.75, 0, 0), fill_value=-5)[:, 1, 1]
    np.testing.assert_allclose(most, [1.75, np.nan, 4.0, -5.0], rtol=1e-6)
    half = resample(image, grid, grid, shifted(3, 0.5, 0, 0))[:, 1, 1]
    np.testing.assert_allclose(half, [1.5, 2.0, 4.0, 4.0], rtol=1e-6)


def test_nan_stays_where_voxels_are_picked_or_nearest(rng):
    grid = Grid((4, 5, 6), np.eye(4))
    image = rng.normal(size=(4, 5, 6)).astype("float32")
    image[1, 2, 3] = np.nan
    np.testing.assert_array_equal(resample(image, grid, grid), image)
    moved = resample(image, grid, grid, shifted(3, 0.3, 0, 0), interpolation="nearest")
    np.testing.assert_array_equal(moved, image)


def test_a_constant_beside_nan_stays_constant(rng, grid, to_grid):
    image = np.where(rng.random(grid.shape) < 0.2, np.nan, 7.0)
    moved = resample(image, grid, to_grid, fill_value=7.0)
    assert 0 < np.isnan(moved).mean() < 0.2
    np.testing.assert_allclose(moved[~np.isnan(moved)], 7.0, rtol=1e-6)


@pytest.mark.parametrize("dtype, largest", [("int32", 496345672), ("uint32", 2**32 - 1), ("int64", 2**62 + 1)])
def test_large_ids_move_exactly(rng, grid, to_grid, dtype, largest):
    labels = (largest - rng.integers(0, 3, grid.shape)).astype(dtype)
    small = (labels.astype("int64") - (largest - 3)).astype("int16")
    moved = resample(labels, grid, to_grid, interpolation="nearest")
    expected = resample(small, grid, to_grid, interpolation="nearest")
    assert moved.dtype == dtype
    shifted_back = np.where(expected == 0, 0, expected.astype("int64") + (largest - 3))
    np.testing.assert_array_equal(moved, shifted_back.astype(dtype))
