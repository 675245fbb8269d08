"""The lines of the warped grid are those of the moving image."""

import numpy as np
import pytest

from vxm_tf.report.planes import planes_of
from vxm_tf.report.warped_grid import GRID_STEP, grid_lines

(SLICE,) = planes_of(2, True)
SIZE = (33, 34)


def identity(shape=SIZE):
    return np.zeros((*shape, len(shape)), "float32")


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
    # Along the axis that the slice stands across nothing is seen.
    displacement[..., axis] = 3.0
    plane = planes_of(3, False)[axis]
    np.testing.assert_array_equal(grid_lines(displacement, plane), grid_lines(identity((17, 18, 19)), plane))
