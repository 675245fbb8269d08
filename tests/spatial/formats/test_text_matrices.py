"""A 4 x 4 matrix in text is one transform to FLIRT and another to greedy, so its format is asked for."""

import numpy as np
import pytest
import SimpleITK as sitk

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform
from vxm_tf.spatial.transform_files import read_transform, write_transform

MATRIX = np.array([[0.98, -0.17, 0.03, 4.5], [0.17, 0.98, -0.02, -7.25], [-0.03, 0.02, 1.1, 12.0], [0, 0, 0, 1]])


@pytest.fixture
def spaced(tmp_path):
    """spaced(name, gap) -> a file of the matrix with a gap between its numbers."""

    def write(name, gap):
        (tmp_path / name).write_text("".join(gap.join(f"{v:.10g}" for v in row) + "\n" for row in MATRIX))
        return tmp_path / name

    return write


@pytest.mark.parametrize(("name", "format"), [("a.mat", "greedy"), ("a.txt", "greedy"), ("a.txt", "niftyreg")])
def test_a_matrix_maps_fixed_points_in_ras(spaced, name, format):
    found = read_transform(spaced(name, " "), format=format)
    np.testing.assert_allclose(found.map([10, 20, 30]), (MATRIX @ [10, 20, 30, 1])[:3])


def test_simpleitk_moves_points_by_the_matrix_as_we_do(tmp_path, spaced, fixed_grid):
    write_transform(tmp_path / "itk.txt", read_transform(spaced("a.mat", " "), format="greedy"), fixed_grid)
    theirs = sitk.ReadTransform(str(tmp_path / "itk.txt"))
    point = np.multiply(theirs.TransformPoint((-10.0, -20.0, 30.0)), (-1, -1, 1))
    np.testing.assert_allclose(point, (MATRIX @ [10, 20, 30, 1])[:3])


@pytest.mark.parametrize("name", ("a.mat", "a.txt"))
@pytest.mark.parametrize("gap", (" ", "\t", "   "))
def test_a_matrix_of_unknown_origin_is_asked_for(spaced, straight_grid, name, gap):
    with pytest.raises(InputError, match=r"Say which format it has: fsl for FLIRT; greedy for .*; niftyreg for"):
        read_transform(spaced(name, gap), moving_grid=straight_grid, fixed_grid=straight_grid)


def test_a_matrix_that_flirt_spaced_is_flirt_s(spaced, straight_grid, moving_grid):
    grids = {"moving_grid": moving_grid, "fixed_grid": straight_grid}
    found = read_transform(spaced("a.mat", "  "), **grids)
    told = read_transform(spaced("b.mat", " "), format="fsl", **grids)
    np.testing.assert_allclose(found.matrix, told.matrix)
    assert np.abs(found.matrix - MATRIX).max() > 1


def test_what_is_written_is_four_lines_of_four_numbers(tmp_path, fixed_grid):
    write_transform(tmp_path / "a.mat", AffineTransform(MATRIX), fixed_grid, format="greedy")
    np.testing.assert_allclose(np.loadtxt(tmp_path / "a.mat"), MATRIX)


def test_other_numbers_are_no_matrix(tmp_path):
    (tmp_path / "a.mat").write_text("1 0 0\n0 1 0\n0 0 1\n")
    with pytest.raises(InputError, match="4 lines of 4 numbers; got 3 of 3"):
        read_transform(tmp_path / "a.mat", format="greedy")
