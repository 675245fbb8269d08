"""The grid that a pair is registered on: as the network was trained, around what the fixed image shows."""

import dataclasses
import itertools

import numpy as np

from vxm_tf.spatial.grid import LATTICE_TOLERANCE, Grid, reoriented_grid

WORLD_AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclasses.dataclass(frozen=True)
class GridSettings:
    """What a network expects of its images' grid; None where it does not matter.

    Attributes:
        shape: spatial shape, None for a size that may vary.
        spacing_mm: voxel size.
        orientation: such as "LIA".
    """

    shape: tuple | None = None
    spacing_mm: tuple | None = None
    orientation: str | None = None

    @classmethod
    def recorded(cls, metadata: dict):
        """What a network's metadata say of its grid; nothing where they are silent."""
        grid = metadata.get("grid") or {}
        shape, spacing_mm = (tuple(grid[name]) if grid.get(name) else None for name in ("shape", "spacing_mm"))
        return cls(shape, spacing_mm, grid.get("orientation"))


def content_box(image) -> tuple:
    """(first, last) index of each axis between which an image is brighter than its background.

    Brighter than a twentieth of the way from the minimum to the 99.5th percentile, first channel. Where that is
    constant, it is all content.

    Args:
        image: `[*spatial, channels]`.
    """
    values = image[..., 0]
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    bright = values > low + 0.05 * ((high if high > low else float(values.max())) - low)
    box = []
    for axis in range(bright.ndim):
        occupied = np.flatnonzero(bright.any(axis=tuple(a for a in range(bright.ndim) if a != axis)))
        box.append((int(occupied[0]), int(occupied[-1])) if len(occupied) else (0, bright.shape[axis] - 1))
    return tuple(box)


def working_grid(fixed_grid: Grid, box, settings: GridSettings, margin_voxels: int = 0) -> Grid:
    """A grid with a network's spacing and orientation, and its shape where the content fits in.

    It lies along the world's axes, or the fixed image's where the settings leave the orientation open. Where spacing
    and axes are the fixed image's, its voxels are the fixed image's, so that nothing is interpolated; with the shape
    too it is the fixed image's grid.

    Args:
        fixed_grid: of the fixed image.
        box: (first, last) index of each of its axes that must be covered.
        settings: what the network expects.
        margin_voxels: of the new grid, around the box, as far as the fixed image reaches.
    """
    own = reoriented_grid(fixed_grid, settings.orientation or fixed_grid.orientation)
    axes = _directions(fixed_grid, settings.orientation)
    spacing = np.array(settings.spacing_mm or own.spacing_mm)
    if np.allclose(axes * own.spacing_mm, own.affine[:-1, :-1], atol=1e-4 * min(own.spacing_mm)):
        # Float32 headers differ from the settings in the last digits; the fixed image's own say where its voxels are.
        spacing = np.where(np.abs(spacing / own.spacing_mm - 1) < LATTICE_TOLERANCE, own.spacing_mm, spacing)
    steps = axes * spacing
    same_lattice = np.allclose(steps, own.affine[:-1, :-1], atol=1e-6)
    if same_lattice:
        # Without this rounding adds up over hundreds of voxels.
        steps = own.affine[:-1, :-1]
    if same_lattice and settings.shape is not None and tuple(settings.shape) == own.shape:
        return own
    low, high = _extent(fixed_grid, box, steps, margin_voxels)
    needed = np.ceil(high - low - 1e-3).astype(int) + 1
    shape = np.array([max(n, s or n) for n, s in zip(needed, settings.shape or (None,) * len(needed))])
    first = (low + high) / 2 - (shape - 1) / 2
    if same_lattice:
        phase = np.linalg.solve(steps, own.affine[:-1, -1])
        # Halves are common, and rounding errors must not decide where they go.
        first = np.ceil(first - phase - 0.5 - LATTICE_TOLERANCE) + phase
    affine = np.eye(len(shape) + 1)
    affine[:-1, :-1], affine[:-1, -1] = steps, steps @ first
    return Grid(tuple(shape), affine)


def isotropic_spacing_mm(grid: Grid, box, max_voxels: int, spacing_mm: float = 0.0) -> tuple:
    """Voxel size for working without a network: the image's own where it is nearly isotropic, else its cubic mean.

    Args:
        grid: of the fixed image.
        box: (first, last) index of each axis that will be covered.
        max_voxels: coarser spacing is taken until the box holds no more.
        spacing_mm: taken instead, if positive.
    """
    if spacing_mm > 0:
        return (spacing_mm,) * grid.ndim
    own = np.array(grid.spacing_mm)
    mean = float(np.prod(own) ** (1 / grid.ndim))
    spacing = own if own.max() / own.min() < 1.25 else np.full(grid.ndim, mean)
    extent = (np.diff(np.array(box), axis=1)[:, 0] + 1) * own
    factor = max(1.0, float(np.prod(extent / spacing) / max_voxels) ** (1 / grid.ndim))
    return tuple(spacing * factor)


def _directions(grid, orientation):
    """Unit vectors of the new axes, as columns."""
    if orientation is None:
        return grid.affine[:-1, :-1] / grid.spacing_mm
    axes = np.zeros((grid.ndim, grid.ndim))
    for column, letter in enumerate(orientation):
        row, sign = WORLD_AXES[letter]
        axes[row, column] = sign
    return axes


def _extent(grid, box, steps, margin):
    """The box in units of the new steps, lowest and highest, widened by the margin within the field of view."""

    def bounds(limits):
        corners = grid.to_world(np.array(list(itertools.product(*limits))))
        indices = np.linalg.solve(steps, corners.T).T
        return indices.min(axis=0), indices.max(axis=0)

    low, high = bounds(box)
    whole_low, whole_high = bounds([(0, size - 1) for size in grid.shape])
    return np.maximum(low - margin, np.minimum(low, whole_low)), np.minimum(high + margin, np.maximum(high, whole_high))
