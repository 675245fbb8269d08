"""The lines of the warped grid are those of the moving image, and their colours those of the local volume."""

import numpy as np
import pytest

from vxm_tf.report.planes import planes_of
from vxm_tf.report.warped_grid import GRID_STEP, grid_lines, grid_picture

(SLICE,) = planes_of(2, True)
SIZE = (33, 34)
PANE = (24, 26, 31)
UNCHANGED_LINE, GROWN_LINE, SHRUNK_LINE, FOLD = (213, 217, 222), (255, 106, 0), (10, 108, 255), (255, 43, 214)


def identity(shape=SIZE):
    return np.zeros((*shape, len(shape)), "float32")


def drawn(displacement, zoom=2):
    """The picture of the first plane, at this many pixels for each voxel."""
    plane = planes_of(displacement.shape[-1], False)[0]
    size = tuple(zoom * displacement.shape[axis] for axis in (plane.up, plane.across))
    return grid_picture(displacement, plane, size)


def brightest(pane):
    """The colour in the middle of a line: that of the pixel which differs most from the ground of the pane."""
    pixels = pane.reshape(-1, 3).astype(int)
    return tuple(pixels[np.abs(pixels - PANE).sum(axis=-1).argmax()].tolist())


def test_the_grid_of_an_identity_is_straight():
    expected = np.zeros(SIZE)
    expected[::GRID_STEP], expected[:, ::GRID_STEP] = 1.0, 1.0
    np.testing.assert_array_equal(grid_lines(identity(), SLICE), expected)


def test_the_grid_moves_with_a_constant_displacement():
    displacement = identity()
    displacement[..., 0] = 3.0
    rows = np.flatnonzero((grid_lines(displacement, SLICE) == 1.0).all(axis=1))
    # Where the moving image's index, x + 3, is a multiple of the step.
    np.testing.assert_array_equal(rows, np.arange(GRID_STEP - 3, 33, GRID_STEP))


def test_lines_keep_their_width_where_the_grid_is_stretched():
    displacement = identity()
    displacement[..., 0] = -0.5 * np.arange(33)[:, None]
    lines = grid_lines(displacement, SLICE)[:, 4]
    # Every 16 voxels of the fixed image are 8 of the moving one.
    np.testing.assert_allclose(np.flatnonzero(lines), [0, 16, 32])


def test_a_larger_picture_has_as_many_lines():
    lines = grid_lines(identity((32, 32)), SLICE, (128, 96), width=2.0)
    on = lines[4 * GRID_STEP + 16] > 0.5
    assert np.count_nonzero(np.diff(np.concatenate([[False], on]).astype(int)) == 1) == 4


@pytest.mark.parametrize("axis", range(3))
def test_lines_of_the_middle_slice_are_those_of_the_axes_within_it(axis):
    displacement = identity((17, 18, 19))
    # A displacement perpendicular to the slice cannot be seen on it.
    displacement[..., axis] = 3.0
    plane = planes_of(3, False)[axis]
    np.testing.assert_array_equal(grid_lines(displacement, plane), grid_lines(identity((17, 18, 19)), plane))


def test_an_identity_has_lines_in_the_neutral_colour():
    pane = drawn(identity((60, 60)))
    share = (pane - np.array(PANE)) / (np.array(UNCHANGED_LINE) - PANE)
    assert brightest(pane) == UNCHANGED_LINE and np.ptp(share, axis=-1).max() < 0.02


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize(("factor", "colour"), [(2.0, GROWN_LINE), (0.5, SHRUNK_LINE)])
def test_lines_have_the_colour_of_the_local_volume(axis, factor, colour):
    size = (54, 55, 56)
    displacement = identity(size)
    displacement[..., axis] = (factor - 1.0) * np.indices(size)[axis]
    assert brightest(drawn(displacement)) == colour


def test_folds_are_pink_where_no_line_is_too():
    size = (30, 31)
    displacement = identity(size)
    displacement[..., 0] = -2.0 * np.arange(30)[:, None]
    assert (drawn(displacement) == FOLD).all()


def test_a_fold_that_central_differences_overlook_is_pink():
    displacement = identity((52, 52))
    displacement[20, 20, 0] = 1.5
    pink = (drawn(displacement) == FOLD).all(axis=-1)
    # At voxel 20 the neighbours on either side are 2 voxels apart, as they were; voxel 21 now lies before it.
    assert pink[41, 41] and pink[43, 41] and not pink[:30].any() and not pink[:, :30].any()
