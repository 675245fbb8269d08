"""The arrays and facts that the report of one registration shows, on one grid that is small enough for a page."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from vxm_tf import metrics
from vxm_tf.data import normalize
from vxm_tf.spatial import Grid, dense, reoriented_grid, resample
from vxm_tf.spatial.background import background_values
from vxm_tf.spatial.resampling import smoothed_for
from vxm_tf.spatial.transforms import voxel_displacement


@dataclasses.dataclass(frozen=True, eq=False)
class ReportContents:
    """The arrays of a registration on the grid of the page, and the facts about it.

    Attributes:
        moving, fixed, moved: float32 `[*spatial]` in [0, 1]; moving after the affine part alone.
        displacement: `[*spatial, ndim]`, in voxels, without the affine part.
        jacobian: `[*spatial]`, Jacobian determinant of the displacement, computed on the working grid.
        folded: bool `[*spatial]`, whether the voxel holds a voxel of the fixed image that fails the certificate.
        uncertainty_mm: `[*spatial]`, standard deviation of the displacement, or None.
        error_bound_mm: `[*spatial]`, radius that holds the true displacement with probability `coverage`, or None.
        grid: the grid of all arrays.
        worked_on: the working grid of the registration.
        placed: whether the header of the fixed image states its position and orientation.
        names: file names of the moving and of the fixed image.
        certificate: the certificate in the form of its JSON file.
        verdict: the verdict of the gate, with `verdict`, `reasons` and `measures`; None if it was not requested.
        seconds: run time of each part of the registration, by name.
        steps: number of optimisation steps.
        affine_volume: determinant of the affine part.
        coverage: probability with which the true displacement lies within `error_bound_mm`, or None.
        channels: number of channels of the fixed image, the first of which is shown.
        beyond: reasons why the pair lies outside what `error_bound_mm` was measured on.
    """

    moving: np.ndarray
    fixed: np.ndarray
    moved: np.ndarray
    displacement: np.ndarray
    jacobian: np.ndarray
    folded: np.ndarray
    uncertainty_mm: np.ndarray | None
    grid: Grid
    worked_on: Grid
    placed: bool
    names: tuple[str, str]
    certificate: dict[str, Any]
    verdict: Any = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    steps: int = 0
    affine_volume: float = 1.0
    error_bound_mm: np.ndarray | None = None
    coverage: float | None = None
    channels: int = 1
    beyond: tuple[str, ...] = ()


def contents_of(result: Any, certificate: dict[str, Any], max_voxels: int) -> ReportContents:
    """The contents of the report of one registration.

    Args:
        result: the registration, as `register_files` and `register_images` return it.
        certificate: the certificate of this registration, in the form of its JSON file.
        max_voxels: largest number of voxels on the page; a finer working grid is made coarser.
    """
    placed = result.fixed.has_place
    turned = _usual_orientation(result.working_grid, placed)
    grid = coarser_grid(turned, max_voxels)
    uncertainty = getattr(result, "uncertainty", None)
    on_page = _OnPage(result.working_grid, grid)
    moving, fixed, moved = _images(result, grid)
    determinant = metrics.jacobian_determinant(result.working_displacement)
    return ReportContents(
        moving=moving,
        fixed=fixed,
        moved=moved,
        displacement=voxel_displacement(dense(result.field, grid)),
        jacobian=on_page(determinant),
        folded=_folded(result, certificate, grid),
        uncertainty_mm=on_page(uncertainty.displacement_std_mm) if uncertainty else None,
        grid=grid,
        worked_on=turned,
        placed=placed,
        names=(Path(result.moving.name).name, Path(result.fixed.name).name),
        certificate=certificate,
        verdict=result.verdict(),
        seconds=result.seconds,
        steps=result.steps,
        affine_volume=float(np.linalg.det(result.affine.matrix[:-1, :-1])),
        error_bound_mm=on_page(uncertainty.bound_mm) if uncertainty and uncertainty.coverage else None,
        coverage=uncertainty and uncertainty.coverage,
        channels=result.fixed.array.shape[-1],
        beyond=uncertainty.beyond if uncertainty else (),
    )


def coarser_grid(grid: Grid, max_voxels: int) -> Grid:
    """A grid with the same field of view and at most `max_voxels` voxels; the finest axes become coarser first.

    >>> import numpy as np
    >>> coarser_grid(Grid((100, 100, 20), np.diag([1.0, 1.0, 5.0, 1.0])), 50_000).shape
    (50, 50, 20)
    """
    if math.prod(grid.shape) <= max_voxels:
        return grid
    spacing = np.array(grid.spacing_mm)
    extent = spacing * grid.shape
    low, high = spacing.min(), extent.max()
    for _ in range(50):
        middle = math.sqrt(low * high)
        fits = math.prod(_shape_at(extent, np.maximum(spacing, middle))) <= max_voxels
        low, high = (low, middle) if fits else (middle, high)
    shape = _shape_at(extent, np.maximum(spacing, high))
    ratio = np.array(grid.shape) / shape
    # Voxel i of n covers [i, i + 1] / n of the field of view.
    step = np.diag([*ratio, 1.0])
    step[:-1, -1] = (ratio - 1.0) / 2.0
    return Grid(shape, grid.affine @ step)


def _shape_at(extent: np.ndarray, spacing: np.ndarray) -> tuple[int, ...]:
    return tuple(np.maximum(1, np.floor(extent / spacing + 1e-6)).astype(int).tolist())


def _usual_orientation(grid: Grid, placed: bool) -> Grid:
    """A grid with its axes turned as they are shown.

    The axes of a 3-D grid point right, anterior and superior. The rows of a placed 2-D grid run downwards; a 2-D grid
    without a place stays as it is stored.
    """
    if grid.ndim == 2:
        return reoriented_grid(grid, "PR") if placed else grid
    return reoriented_grid(grid, "RAS")


class _OnPage:
    """Resamples maps from the working grid to the grid of the page."""

    def __init__(self, grid: Grid, to_grid: Grid) -> None:
        self.grid, self.to_grid = grid, to_grid

    def __call__(self, array: np.ndarray) -> np.ndarray:
        array = np.asarray(array, "float32")[..., None]
        smooth = smoothed_for(array, self.grid, self.to_grid)
        return resample(smooth, self.grid, self.to_grid, fill_value=None)[..., 0]


def _images(result: Any, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(moving, fixed, moved) in their first channel.

    Moving and moved are normalised together, so that their differences can be compared.
    """
    moving, fixed = (image.array[..., :1] for image in (result.moving, result.fixed))
    outside, outside_fixed = background_values(moving)[0], background_values(fixed)[0]
    there = Grid(result.moving.grid.shape, result.affine.inverse().matrix @ result.moving.grid.affine)
    smooth = smoothed_for(moving, there, grid)
    both = [
        resample(smooth, result.moving.grid, grid, transform, fill_value=outside)
        for transform in (result.affine, result.chain)
    ]
    smooth_fixed = smoothed_for(fixed, result.fixed.grid, grid)
    still = resample(smooth_fixed, result.fixed.grid, grid, fill_value=outside_fixed)
    before, after = normalize(np.stack(both), "percentile")[..., 0]
    return before, normalize(still, "percentile")[..., 0], after


def _folded(result: Any, certificate: dict[str, Any], grid: Grid) -> np.ndarray:
    """Whether each voxel of the page holds a voxel of the fixed image that fails the certificate."""
    folded = np.zeros(grid.shape, bool)
    if certificate["transform"]["passes"]:
        return folded
    points = result.fixed.grid.to_world(np.argwhere(result.failing_voxels))
    indices = np.round(grid.to_indices(points)).astype(int)
    inside = np.all((indices >= 0) & (indices < grid.shape), axis=-1)
    folded[tuple(indices[inside].T)] = True
    return folded
