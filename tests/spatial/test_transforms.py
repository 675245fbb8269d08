"""Transforms of points: values by hand, and SciPy's interpolation for fields."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial.transform import Rotation

from vxm_tf.files import InputError
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, dense
from vxm_tf.spatial.transforms import flattened, identity, is_affine, slabs


def oblique(shape, degrees=17):
    """Turned about every axis there is, other voxel sizes, away from the origin."""
    ndim = len(shape)
    turn = Rotation.from_euler("xyz", (0 if ndim == 2 else 0.5 * degrees, 0 if ndim == 2 else -degrees, degrees), True)
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = turn.as_matrix()[:ndim, :ndim] @ np.diag((1.5, -2.0, 3.25)[:ndim])
    affine[:-1, -1] = (-31.0, 12.5, 7.25)[:ndim]
    return Grid(shape, affine)


def random_affine(rng, ndim):
    matrix = np.eye(ndim + 1)
    matrix[:-1, :-1] += rng.normal(0, 0.1, (ndim, ndim))
    matrix[:-1, -1] = rng.normal(0, 5, ndim)
    return AffineTransform(matrix)


@pytest.fixture
def grid(shape):
    return oblique(shape)


@pytest.fixture
def field(grid, random_field):
    return DisplacementField(grid, random_field(grid.shape, 2.0, batch=1)[0])


def test_an_affine_by_hand():
    transform = AffineTransform([[0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 2, 30], [0, 0, 0, 1]])
    np.testing.assert_array_equal(transform.map([[1, 2, 3]]), [[8, 21, 36]])
    assert (transform.ndim, transform.map([1, 2, 3]).dtype) == (3, np.float64)


def test_an_affine_and_its_inverse(rng, grid):
    transform = random_affine(rng, grid.ndim)
    points = grid.points()
    assert np.abs(transform.map(points) - points).max() > 1
    np.testing.assert_allclose(transform.inverse().map(transform.map(points)), points, atol=1e-10)


def test_nothing_moves_by_the_identity():
    np.testing.assert_array_equal(identity(2).map([[3.0, 4.0]]), [[3.0, 4.0]])
    assert identity().ndim == 3


def test_a_field_is_interpolated_linearly_between_its_voxels(rng, field):
    indices = rng.uniform(0, np.array(field.grid.shape) - 1, (200, field.ndim))
    axes = [np.arange(size) for size in field.grid.shape]
    expected = RegularGridInterpolator(axes, field.displacement_mm.astype("float64"))(indices)
    points = field.grid.to_world(indices)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(field.map(points), points + expected, atol=1e-5)


def test_at_its_voxels_a_field_is_what_it_says(field):
    points = field.grid.points()
    np.testing.assert_allclose(field.map(points) - points, field.displacement_mm, atol=1e-5)


def test_a_point_halfway_by_hand():
    displacement = np.zeros((2, 3, 2))
    displacement[0, 1], displacement[1, 1] = (1, 10), (3, 30)
    field = DisplacementField(Grid((2, 3), np.diag([2.0, 4.0, 1.0])), displacement)
    np.testing.assert_allclose(field.map([1.0, 4.0]), [3.0, 24.0])


@pytest.mark.parametrize("voxels, nearest, zero", [(-0.4, 5, 5), (-0.6, 5, 0), (-40, 5, 0), (3.4, 8, 8), (3.6, 8, 0)])
def test_beyond_its_grid_a_field_is_its_edge_or_zero(voxels, nearest, zero):
    grid = Grid((4, 3), np.diag([2.0, 1.0, 1.0]))
    displacement = np.broadcast_to(np.arange(5.0, 9.0)[:, None, None], (4, 3, 2))
    for outside, expected in (("nearest", nearest), ("zero", zero)):
        point = np.array([2.0 * voxels, 1.0])
        np.testing.assert_allclose(DisplacementField(grid, displacement, outside).map(point), point + expected)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "float16", "int16", "float64"])
def test_a_field_may_be_of_any_type(grid, rng, dtype):
    displacement = rng.integers(-3, 4, (*grid.shape, grid.ndim))
    points = grid.to_world(rng.uniform(0, np.array(grid.shape) - 1, (50, grid.ndim)))
    expected = DisplacementField(grid, displacement.astype("float64")).map(points)
    np.testing.assert_allclose(DisplacementField(grid, displacement.astype(dtype)).map(points), expected, atol=1e-5)


def test_a_field_of_one_slice_has_the_same_value_on_both_sides():
    displacement = np.zeros((4, 5, 1, 3)) + [1.0, 2.0, 3.0]
    field = DisplacementField(Grid((4, 5, 1), np.eye(4)), displacement)
    np.testing.assert_allclose(field.map([[1.0, 1, 0], [1, 1, 0.3], [1, 1, -9]]), [[2, 3, 3], [2, 3, 3.3], [2, 3, -6]])


def test_the_first_of_a_chain_takes_the_points_first():
    turn = AffineTransform([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    shift = AffineTransform([[1, 0, 5], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(Chain((turn, shift)).map([[1.0, 2.0]]), [[3.0, 1.0]])
    np.testing.assert_array_equal(Chain((shift, turn)).map([[1.0, 2.0]]), [[-2.0, 6.0]])


def test_a_chain_of_chains_is_one_chain(rng, field):
    first, second, third = (random_affine(rng, field.ndim) for _ in range(3))
    nested = Chain([first, Chain([field, Chain([second])]), third])
    parts = flattened(nested)
    assert parts == (first, field, second, third) and flattened(first) == (first,)
    points = field.grid.points()
    expected = third.map(second.map(field.map(first.map(points))))
    np.testing.assert_array_equal(nested.map(points), expected)
    np.testing.assert_array_equal(Chain(parts).map(points), expected)


def test_a_chain_is_affine_if_all_of_it_is(rng, field):
    affine = random_affine(rng, field.ndim)
    assert is_affine(affine) and is_affine(Chain((affine, Chain((affine,)))))
    assert not is_affine(field) and not is_affine(Chain((affine, Chain((field,)))))


def test_dense_does_at_the_voxels_what_a_chain_does(rng, field, monkeypatch):
    monkeypatch.setattr(slabs, "__defaults__", (100,))
    other = oblique(tuple(size + 2 for size in field.grid.shape), degrees=-5)
    chain = Chain((random_affine(rng, field.ndim), field))
    one = dense(chain, other)
    assert (one.grid, one.displacement_mm.dtype) == (other, np.float32)
    np.testing.assert_allclose(one.map(other.points()), chain.map(other.points()), atol=1e-4)


def test_the_field_of_an_affine_is_the_affine_between_the_voxels_too(rng, grid):
    transform = random_affine(rng, grid.ndim)
    points = grid.to_world(rng.uniform(0, np.array(grid.shape) - 1, (50, grid.ndim)))
    np.testing.assert_allclose(dense(transform, grid).map(points), transform.map(points), atol=1e-4)


def test_a_field_on_the_grid_that_is_asked_for_stays_itself(field):
    assert dense(field, Grid(field.grid.shape, field.grid.affine)) is field
    assert dense(field, oblique(field.grid.shape, degrees=3)) is not field


@pytest.mark.parametrize("shape", [(7, 10), (1, 10), (7, 200), (9, 3, 4), (5,)])
def test_slabs_cover_the_first_axis_once(shape):
    pieces = slabs(shape, 30)
    assert [i for start, stop in pieces for i in range(start, stop)] == list(range(shape[0]))
    assert all((stop - start) * np.prod(shape[1:]) <= 30 or stop - start == 1 for start, stop in pieces)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (5, 4, 2), (2, 4, 5)])
def test_a_field_of_another_shape_than_its_grid_is_refused(shape):
    with pytest.raises(InputError, match=r"shape \(4, 5\) has shape \(4, 5, 2\)"):
        DisplacementField(Grid((4, 5), np.eye(3)), np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_field_that_is_not_finite_is_refused(value):
    displacement = np.zeros((4, 5, 2))
    displacement[1, 2, 0] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        DisplacementField(Grid((4, 5), np.eye(3)), displacement)


def test_what_a_field_is_outside_has_two_names():
    with pytest.raises(ValueError, match="'nearest', 'zero'; got 'edge'"):
        DisplacementField(Grid((4, 5), np.eye(3)), np.zeros((4, 5, 2)), "edge")


def test_a_chain_of_nothing_or_of_unequal_parts_is_refused():
    with pytest.raises(InputError, match="got none"):
        Chain(())
    with pytest.raises(InputError, match=r"got \[2, 3\]"):
        Chain((identity(2), identity(3)))
