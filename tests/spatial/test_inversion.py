"""Inverses: points must come back, and what cannot be inverted must be said."""

import numpy as np
import pytest

from vxm_tf.metrics import jacobian_determinant
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, invert
from vxm_tf.spatial.inversion import affine_part, inverse, solve_points
from vxm_tf.spatial.transforms import slabs

SPACING_MM = (1.5, 2.0, 1.25)


def straight_grid(shape):
    """From the origin to `reach`."""
    return Grid(shape, np.diag([*SPACING_MM[: len(shape)], 1.0]))


def waved(shape, strength):
    """Along each axis x -> x + strength L sin(2 pi x / L) / (2 pi): derivatives 1 -+ strength, edges at rest."""
    grid = straight_grid(shape)
    reach = (np.array(shape) - 1) * grid.spacing_mm
    displacement = strength * reach * np.sin(2 * np.pi * grid.points() / reach) / (2 * np.pi)
    return DisplacementField(grid, displacement)


def mixed(grid, amplitude_mm):
    """Smooth, every component depending on every axis."""
    points = (grid.points() - grid.centre_mm) / 10.0
    turned = points @ np.array([[1.0, 0.3, -0.2], [0.4, -0.8, 0.5], [0.2, 0.6, 0.9]])[: grid.ndim, : grid.ndim]
    return DisplacementField(grid, amplitude_mm * np.cos(turned + np.arange(grid.ndim)))


def affine_of(ndim):
    matrix = np.eye(4)
    matrix[:3, :3] = [[1.3, 0.2, 0.0], [-0.3, 0.8, 0.1], [0.0, 0.1, 1.1]]
    matrix[:3, 3] = 15.0, -40.0, 25.0
    keep = [*range(ndim), 3]
    return AffineTransform(matrix[np.ix_(keep, keep)])


@pytest.fixture
def inner_points(rng):
    """inner_points(grid): between its voxels, two away from its edge."""
    return lambda grid, n=60: grid.to_world(rng.uniform(2, np.array(grid.shape) - 3, (n, grid.ndim)))


@pytest.mark.parametrize("order", ["deformation", "deformation, affine", "affine, deformation", "all three"])
def test_points_come_back_from_where_they_went(shape, inner_points, order):
    field, affine = mixed(straight_grid(shape), 1.0), affine_of(len(shape))
    transform = {
        "deformation": field,
        "deformation, affine": Chain((field, affine)),
        "affine, deformation": Chain((affine, field)),
        "all three": Chain((affine.inverse(), Chain((affine, field)), affine)),
    }[order]
    points = inner_points(field.grid)
    if order == "affine, deformation":
        points = affine.inverse().map(points)
    found, residual = solve_points(transform, transform.map(points))
    assert np.abs(transform.map(points) - points).max() > 0.5
    np.testing.assert_allclose(found, points, atol=3e-3)
    assert residual.shape == (60,) and residual.max() <= 1e-3


@pytest.mark.parametrize("order", ["deformation, affine", "affine, deformation"])
def test_on_a_grid_the_inverse_undoes_the_transform(shape, order):
    field, affine = mixed(straight_grid(shape), 1.0), affine_of(len(shape))
    transform = Chain((field, affine) if order == "deformation, affine" else (affine, field))
    moved = affine_part(transform) @ field.grid.affine
    moving_grid = Grid(tuple(size + 2 for size in shape), moved)
    inversion = invert(transform, moving_grid)
    points = moving_grid.points()
    back = inversion.transform.map(points)
    assert inversion.transform.grid is moving_grid and inversion.unsolved == 0.0
    error = np.linalg.norm(transform.map(back) - points, axis=-1)
    assert error.max() < 2e-3
    said = inversion.mean_residual_mm, inversion.max_residual_mm
    np.testing.assert_allclose(said, (error.mean(), error.max()), atol=1e-4)


def test_a_strongly_stretching_field_is_inverted(inner_points):
    """Determinants from 0.03 to 5: fixed points alone do not get there."""
    field = waved((31, 28, 25), 0.71)
    determinant = jacobian_determinant((field.displacement_mm / SPACING_MM).astype("float32"))
    assert determinant.max() > 4.9 and determinant.min() < 0.05
    inversion = invert(field, field.grid)
    assert inversion.max_residual_mm <= 1e-3 and inversion.unsolved == 0.0
    points = inner_points(field.grid)
    found, residual = solve_points(field, field.map(points))
    assert residual.max() <= 1e-3
    # What is shrunk to a third of itself comes back three times less exactly.
    np.testing.assert_allclose(found, points, atol=4e-3)


def test_a_whirl_is_inverted(inner_points):
    """Turned by 100 degrees in the middle, by nothing at the edge: an axis for another would lead astray."""
    grid = Grid((41, 43), np.eye(3))
    arms = grid.points() - grid.centre_mm
    angle = np.radians(100) * np.exp(-np.sum(arms**2, axis=-1) / 60)
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = np.stack([cosine * arms[..., 0] - sine * arms[..., 1], sine * arms[..., 0] + cosine * arms[..., 1]], -1)
    field = DisplacementField(grid, turned - arms)
    assert invert(field, grid).max_residual_mm <= 1e-3
    points = inner_points(grid)
    np.testing.assert_allclose(solve_points(field, field.map(points))[0], points, atol=4e-3)


def test_in_one_dimension_the_inverse_is_the_graph_turned_over():
    field = waved((200,), 0.9)
    places = field.grid.points()[:, 0]
    targets = np.linspace(places[0], places[-1], 50)
    found, _ = solve_points(field, targets[:, None])
    expected = np.interp(targets, field.map(field.grid.points())[:, 0], places)
    np.testing.assert_allclose(found[:, 0], expected, atol=0.01)


def test_a_first_guess_changes_nothing_but_the_way(shape):
    field = mixed(straight_grid(shape), 1.0)
    opposite = DisplacementField(field.grid, -field.displacement_mm)
    plain, guessed = invert(field, field.grid), invert(field, field.grid, opposite)
    assert guessed.max_residual_mm <= 1e-3
    np.testing.assert_allclose(guessed.transform.displacement_mm, plain.transform.displacement_mm, atol=5e-3)


def test_a_guess_from_elsewhere_is_mended():
    field = mixed(straight_grid((9, 10, 11)), 1.0)
    far = AffineTransform([[1, 0, 0, 4], [0, 1, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1]])
    assert invert(field, field.grid, far).max_residual_mm <= 1e-3


def test_pieces_in_any_number_give_the_same(shape, monkeypatch):
    field = mixed(straight_grid(shape), 1.0)
    expected = invert(field, field.grid)
    monkeypatch.setattr(slabs, "__defaults__", (60,))
    found = invert(field, field.grid)
    np.testing.assert_allclose(found.transform.displacement_mm, expected.transform.displacement_mm, atol=1e-6)
    assert found.max_residual_mm == pytest.approx(expected.max_residual_mm)


@pytest.mark.parametrize("strength", [1.6, 3.0])
def test_a_folding_field_is_inverted_where_it_can_be(strength):
    field = waved((15, 18, 13), strength)
    assert jacobian_determinant((field.displacement_mm / SPACING_MM).astype("float32")).min() < 0
    inversion = invert(field, field.grid)
    error = np.linalg.norm(field.map(inversion.transform.map(field.grid.points())) - field.grid.points(), axis=-1)
    assert inversion.max_residual_mm == pytest.approx(error.max(), abs=1e-3)
    assert inversion.unsolved == pytest.approx(np.mean(error > 0.1), abs=1e-3)
    assert inversion.unsolved < 0.15


@pytest.mark.parametrize("flattened_axes", [1, 2, 3])
def test_a_field_that_flattens_space_is_reported_not_a_crash(flattened_axes):
    """Nothing maps to any voxel: all within the grid goes to its middle, between voxels, and outside nothing moves."""
    grid = straight_grid((10, 12, 8))
    displacement = grid.centre_mm - grid.points()
    displacement[..., flattened_axes:] = 0.0
    flat = DisplacementField(grid, displacement, "zero")
    inversion = invert(flat, grid)
    error = np.linalg.norm(flat.map(inversion.transform.map(grid.points())) - grid.points(), axis=-1)
    assert inversion.unsolved == 1.0
    assert inversion.max_residual_mm == pytest.approx(error.max(), abs=1e-3)
    assert inversion.mean_residual_mm == pytest.approx(error.mean(), abs=1e-3)
    assert error.max() <= np.linalg.norm(grid.points() - grid.centre_mm, axis=-1).max() + 1e-3


@pytest.mark.parametrize("shape", [(15, 18, 1), (1, 18, 13), (15, 1, 1), (1, 1, 1), (2, 2, 2), (1, 18)])
@pytest.mark.parametrize("origin", [0.0, 100.3])
def test_axes_of_one_voxel_are_inverted(shape, origin):
    affine = straight_grid(shape).affine
    affine[:-1, -1] = origin
    field = mixed(Grid(shape, affine), 0.5)
    inversion = invert(field, field.grid)
    assert inversion.max_residual_mm <= 1e-3 and np.abs(inversion.transform.displacement_mm).max() < 5


def test_the_affine_part_of_an_affines_field_is_the_affine(shape):
    ndim = len(shape)
    grid, affine = straight_grid(shape), affine_of(ndim)
    field = DisplacementField(grid, affine.map(grid.points()) - grid.points())
    np.testing.assert_allclose(affine_part(field), affine.matrix, atol=1e-6)
    other = affine_of(ndim).inverse().matrix @ np.diag([*[2.0] * ndim, 1.0])
    np.testing.assert_allclose(affine_part(Chain((affine, AffineTransform(other)))), other @ affine.matrix, atol=1e-12)


def test_affine_chains_have_an_exact_inverse(shape):
    ndim = len(shape)
    first, second = affine_of(ndim), AffineTransform(affine_of(ndim).matrix @ np.diag([*[0.5] * ndim, 1.0]))
    grid = straight_grid(shape)
    for transform in (first, Chain((first, second)), Chain((Chain((second, first)), second))):
        back, inversion = inverse(transform, grid)
        assert inversion is None
        np.testing.assert_allclose(back.map(transform.map(grid.points())), grid.points(), atol=1e-9)


def test_anything_else_is_inverted_on_the_grid(shape):
    field = mixed(straight_grid(shape), 1.0)
    transform, inversion = inverse(Chain((affine_of(len(shape)), field)), field.grid)
    assert transform is inversion.transform and transform.grid is field.grid
    assert inversion.max_residual_mm <= 1e-3


def test_a_point_that_nothing_maps_to_comes_with_its_distance():
    grid = Grid((9, 10), np.eye(3))
    flat = DisplacementField(grid, np.stack([4.0 - grid.points()[..., 0], np.zeros(grid.shape)], -1), "zero")
    points, residual = solve_points(flat, [[4.0, 5.0], [6.0, 5.0]])
    assert points.shape == (2, 2)
    np.testing.assert_allclose(residual, [0.0, 2.0], atol=1e-3)


@pytest.mark.parametrize("size", (1.0, 1e-2, 1e-3))
def test_an_inverse_is_as_exact_in_small_voxels(size):
    """The same field, all lengths times `size`: the residual in voxels stays what it is."""
    large = waved((14, 15, 16), 0.7)
    affine = np.diag([size, size, size, 1.0]) @ large.grid.affine
    field = DisplacementField(Grid(large.grid.shape, affine), size * large.displacement_mm)
    found = invert(field, field.grid)
    assert found.max_residual_mm < 0.02 * size and found.unsolved == 0.0
