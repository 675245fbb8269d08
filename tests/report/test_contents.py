"""What a report shows lies where it should, on one grid, and is what the registration found."""

import types

import numpy as np
import pytest

from vxm_tf.report.contents import coarser_grid, contents_of
from vxm_tf.spatial import Grid
from vxm_tf.trust import Uncertainty


def test_moved_is_moving_looked_up_at_the_displacement(registered, rng):
    arrays = [rng.random((9, 10, 11), "float32") for _ in range(2)]
    result, certificate = registered((1.0, -2.0, 0.0), arrays=arrays)
    shown = contents_of(result, certificate, 10**6)
    for index in ((3, 5, 4), (0, 2, 10), (7, 9, 1)):
        here = tuple(np.round(shown.grid.to_indices(result.fixed.grid.to_world(index))).astype(int))
        there = (index[0] + 1, index[1] - 2, index[2])
        low, high = np.percentile(np.stack([shown.moving, shown.moved]), (0, 100))
        assert low == 0.0 and high == 1.0
        # One scale for moving and moved: the value that moved here is the one that moving shows there.
        place = tuple(np.round(shown.grid.to_indices(result.fixed.grid.to_world(there))).astype(int))
        assert shown.moved[here] == pytest.approx(shown.moving[place], abs=1e-5)


def test_axes_run_to_the_right_anterior_and_superior(contents):
    assert contents().grid.orientation == "RAS"


def test_displacement_is_in_voxels_of_the_page(contents):
    shown = contents()
    lengths = np.linalg.norm(shown.displacement * np.array(shown.grid.spacing_mm), axis=-1)
    np.testing.assert_allclose(lengths, np.hypot(1 * 2.0, 2 * 1.25), atol=1e-4)
    np.testing.assert_allclose(shown.jacobian, 1.0, atol=1e-5)


def test_without_deformation_moving_and_moved_are_one(contents, registered):
    shown = contents(registration=registered((0.0, 0.0, 0.0)))
    np.testing.assert_array_equal(shown.moving, shown.moved)
    assert not shown.displacement.any() and not shown.folded.any()


def test_a_voxel_that_folds_is_marked_where_it_lies(registered):
    field = np.zeros((9, 10, 11, 3), "float32")
    field[4, 5, 6, 0] = 1.5
    result, certificate = registered(field)
    shown = contents_of(result, certificate, 10**6)
    assert not certificate["passes"] and shown.folded.sum() == certificate["transform"]["failing_voxels"]
    here = np.round(shown.grid.to_indices(result.fixed.grid.to_world((4, 5, 6)))).astype(int)
    assert shown.folded[tuple(here)]
    assert np.abs(np.argwhere(shown.folded) - here).max() <= 1


def test_on_a_coarser_grid_no_fold_is_lost(registered):
    field = np.zeros((9, 10, 11, 3), "float32")
    field[4, 5, 6, 0] = 1.5
    shown = contents_of(*registered(field), 200)
    assert np.prod(shown.grid.shape) <= 200 and shown.folded.any()


def test_uncertainty_and_verdict_are_shown_where_there_are_any(registered):
    std = np.full((9, 10, 11), 0.25, "float32")
    verdict = types.SimpleNamespace(verdict="review", reasons=("It is close.",), measures={"dice": 0.5})
    uncertainty = Uncertainty(std, 8, "samples", bound_mm=2 * std, coverage=0.9)
    shown = contents_of(*registered(uncertainty=uncertainty, verdict=lambda: verdict), 10**6)
    np.testing.assert_allclose(shown.uncertainty_mm, 0.25)
    np.testing.assert_allclose(shown.error_bound_mm, 0.5)
    assert shown.verdict is verdict
    bare = contents_of(*registered(), 10**6)
    assert bare.uncertainty_mm is None and bare.error_bound_mm is None
    assert bare.verdict.verdict in ("pass", "review", "fail")


@pytest.mark.parametrize(
    ("shape", "spacing", "limit"),
    [((160, 192, 224), (1, 1, 1), 10**6), ((512, 512, 20), (0.5, 0.5, 6.0), 10**6), ((5000, 4000), (1, 1), 10**6)],
)
def test_a_coarser_grid_keeps_the_field_of_view(shape, spacing, limit):
    grid = Grid(shape, np.diag([*map(float, spacing), 1.0]))
    coarser = coarser_grid(grid, limit)
    assert 0.7 * limit < np.prod(coarser.shape) <= limit
    for corner in (-0.5, None):
        ends = [np.full(len(shape), -0.5) if corner else np.array(g.shape) - 0.5 for g in (grid, coarser)]
        np.testing.assert_allclose(grid.to_world(ends[0]), coarser.to_world(ends[1]), atol=1e-6)
    # Thick slices stay as they are as long as the others are finer.
    assert max(coarser.spacing_mm) <= max(*spacing, 1.05 * min(coarser.spacing_mm))


def test_a_grid_that_fits_stays_itself():
    grid = Grid((5, 6), np.eye(3))
    assert coarser_grid(grid, 30) is grid
