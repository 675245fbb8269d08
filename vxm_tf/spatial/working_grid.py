"""The grid on which a pair is registered: as in the network's training, around the content of the fixed image."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from vxm_tf.spatial.background import border
from vxm_tf.spatial.grid import LATTICE_TOLERANCE, Grid, reoriented_grid

Box: TypeAlias = Sequence[tuple[int, int]]
"""(first, last) voxel index along each axis of a grid."""

# Letter of an orientation -> (world axis, sign).
WORLD_AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}

CONTRAST = 0.05
"""Share of the range of intensities by which content differs from the background."""
BRIGHT_BACKGROUND, BORDER_PERCENTILE = 0.1, 5
"""A background is bright if this percentile of the outermost voxels is hardly darker than the brightest voxels, by at
most this share of the range."""


@dataclasses.dataclass(frozen=True)
class GridSettings:
    """The grid that a network expects its images on; None for a property that does not matter.

    Attributes:
        shape: spatial shape, with None for a size that may vary.
        spacing_mm: voxel size along each axis, in millimetres.
        orientation: directions of the axes, such as "LIA".
    """

    shape: tuple[int | None, ...] | None = None
    spacing_mm: tuple[float, ...] | None = None
    orientation: str | None = None

    @classmethod
    def recorded(cls, metadata: Mapping[str, Any]) -> "GridSettings":
        """The grid in a network's metadata, with None for each property that the metadata lack."""
        grid = metadata.get("grid") or {}
        shape, spacing_mm = (tuple(grid[name]) if grid.get(name) else None for name in ("shape", "spacing_mm"))
        return cls(shape, spacing_mm, grid.get("orientation"))


def content_box(image: np.ndarray) -> Box:
    """The smallest box that holds every voxel of an image that differs from its background in some channel.

    Content is brighter than 5 % of the way from the minimum to the 99.5th percentile. Where 95 % of the outermost
    voxels are within 10 % of that percentile, the background is bright, as in histology, and content is darker than
    they are. If every channel is constant, the box is the whole image.

    Args:
        image: `[*spatial, channels]`.
    """
    content = np.any([_content(channel) for channel in np.moveaxis(image, -1, 0)], axis=0)
    box = []
    for axis in range(content.ndim):
        occupied = np.flatnonzero(content.any(axis=tuple(a for a in range(content.ndim) if a != axis)))
        box.append((int(occupied[0]), int(occupied[-1])) if len(occupied) else (0, content.shape[axis] - 1))
    return tuple(box)


def _content(values: np.ndarray) -> np.ndarray:
    """Bool `[*spatial]`, the voxels of one channel that differ from its background."""
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    extent = (high if high > low else float(values.max())) - low
    darkest = float(np.percentile(border(values), BORDER_PERCENTILE))
    if high > low and darkest >= high - BRIGHT_BACKGROUND * extent:
        return values < darkest - CONTRAST * extent
    return values > low + CONTRAST * extent


def working_grid(fixed_grid: Grid, box: Box, settings: GridSettings, margin_voxels: int = 0) -> Grid:
    """A grid with the spacing and orientation that a network expects, and its shape unless the box needs a larger one.

    The grid lies along the world's axes, or along the fixed image's axes if the settings have no orientation. If its
    spacing and axes equal those of the fixed image, voxels coincide and nothing is interpolated; if the shape is equal
    too, the result is the fixed image's grid.

    Args:
        fixed_grid: grid of the fixed image.
        box: the part of the fixed image that the grid must cover.
        settings: the grid that the network expects.
        margin_voxels: margin around the box, in voxels of the new grid, as far as the fixed image reaches.
    """
    own = reoriented_grid(fixed_grid, settings.orientation or fixed_grid.orientation)
    axes = _directions(fixed_grid, settings.orientation)
    spacing = np.array(settings.spacing_mm or own.spacing_mm)
    if np.allclose(axes * own.spacing_mm, own.affine[:-1, :-1], atol=1e-4 * min(own.spacing_mm)):
        # Float32 headers differ from the settings in the last digits; the header's digits place the voxels.
        spacing = np.where(np.abs(spacing / own.spacing_mm - 1) < LATTICE_TOLERANCE, own.spacing_mm, spacing)
    steps = axes * spacing
    same_lattice = np.allclose(steps, own.affine[:-1, :-1], atol=1e-6)
    if same_lattice:
        # Otherwise rounding errors add up over hundreds of voxels.
        steps = own.affine[:-1, :-1]
    if same_lattice and settings.shape is not None and tuple(settings.shape) == own.shape:
        return own
    low, high = _extent(fixed_grid, box, steps, margin_voxels)
    needed = np.ceil(high - low - 1e-3).astype(int) + 1
    shape = np.array([max(n, s or n) for n, s in zip(needed, settings.shape or (None,) * len(needed))])
    first = (low + high) / 2 - (shape - 1) / 2
    if same_lattice:
        phase = np.linalg.solve(steps, own.affine[:-1, -1])
        # Halves are common, and rounding errors must not decide in which direction they are rounded.
        first = np.ceil(first - phase - 0.5 - LATTICE_TOLERANCE) + phase
    affine = np.eye(len(shape) + 1)
    affine[:-1, :-1], affine[:-1, -1] = steps, steps @ first
    return Grid(tuple(shape), affine)


def isotropic_spacing_mm(grid: Grid, box: Box, max_voxels: int, spacing_mm: float = 0.0) -> tuple[float, ...]:
    """Voxel size along each axis, in millimetres, for registration without a network.

    It is the image's own voxel size where that is nearly isotropic, else the geometric mean over the axes.

    Args:
        grid: grid of the fixed image.
        box: the part of the fixed image that will be covered.
        max_voxels: largest number of voxels in the box; the voxel size is increased if there would be more.
        spacing_mm: voxel size to use instead, if positive.
    """
    if spacing_mm > 0:
        return (spacing_mm,) * grid.ndim
    own = np.array(grid.spacing_mm)
    mean = float(np.prod(own) ** (1 / grid.ndim))
    spacing = own if own.max() / own.min() < 1.25 else np.full(grid.ndim, mean)
    extent = (np.diff(np.array(box), axis=1)[:, 0] + 1) * own
    factor = max(1.0, float(np.prod(extent / spacing) / max_voxels) ** (1 / grid.ndim))
    return tuple(spacing * factor)


def _directions(grid: Grid, orientation: str | None) -> np.ndarray:
    """Unit vectors of the new axes, as columns."""
    if orientation is None:
        return grid.affine[:-1, :-1] / grid.spacing_mm
    axes = np.zeros((grid.ndim, grid.ndim))
    for column, letter in enumerate(orientation):
        row, sign = WORLD_AXES[letter]
        axes[row, column] = sign
    return axes


def _extent(grid: Grid, box: Box, steps: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """(lowest, highest) corner of the box in units of the new steps, with the margin cut at the field of view."""

    def bounds(limits: Box) -> tuple[np.ndarray, np.ndarray]:
        corners = grid.to_world(np.array(list(itertools.product(*limits))))
        indices = np.linalg.solve(steps, corners.T).T
        return indices.min(axis=0), indices.max(axis=0)

    low, high = bounds(box)
    whole_low, whole_high = bounds([(0, size - 1) for size in grid.shape])
    return np.maximum(low - margin, np.minimum(low, whole_low)), np.minimum(high + margin, np.maximum(high, whole_high))
