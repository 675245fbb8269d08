"""A registered pair, prepared for measuring: coarse, channel by channel, and with its foregrounds."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from vxm_tf.metrics import foreground

COARSE = 30
"""Number of coarse voxels along the edge of a cube with the foreground's volume; a head at 2 mm has twice as many."""
TINY = 1e-5
"""Contrasts and variances below this are rounding errors."""


@dataclasses.dataclass(frozen=True)
class View:
    """One channel of a pair prepared for measuring: coarse, scaled to [0, 1].

    Attributes:
        moving, fixed, moved: float `[*spatial]`.
        moving_content, fixed_content, moved_content: bool `[*spatial]`, foreground of each image.
        displacement: `[*spatial, ndim]`, in coarse voxels.
        linear: `[ndim, ndim]`, whose columns are the edges of a coarse voxel, in millimetres.
        size_mm: edge of a cube with the volume of the fixed image's foreground, in millimetres.
    """

    moving: np.ndarray
    fixed: np.ndarray
    moved: np.ndarray
    moving_content: np.ndarray
    fixed_content: np.ndarray
    moved_content: np.ndarray
    displacement: np.ndarray
    linear: np.ndarray
    size_mm: float

    @property
    def content(self) -> np.ndarray:
        """Bool `[*spatial]`, foreground of the fixed or the moved image; all voxels if both have none."""
        return or_everything(self.fixed_content | self.moved_content)

    @property
    def spacing_mm(self) -> np.ndarray:
        """Length of a coarse voxel along each axis, `[ndim]`, in millimetres."""
        return np.linalg.norm(self.linear, axis=0)

    def window(self, part: float, least: float = 0.8) -> list[float]:
        """Standard deviation of a Gaussian along each axis, in coarse voxels.

        Args:
            part: its length as a fraction of `size_mm`.
            least: smallest standard deviation, in coarse voxels.
        """
        return np.maximum(part * self.size_mm / self.spacing_mm, least).tolist()


def scaled(image: np.ndarray) -> np.ndarray:
    """An image, scaled from its 0.5th and 99.5th percentile to [0, 1]; zeros for a constant image."""
    image = np.asarray(image, "float32")
    low, high = np.percentile(image, (0.5, 99.5))
    if high - low < TINY:
        low, high = float(image.min()), float(image.max())
    return np.clip((image - low) / max(high - low, TINY), 0.0, 1.0) if high - low >= TINY else np.zeros_like(image)


def channel_pairs(moving: np.ndarray, fixed: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Channels to be compared, moving and fixed, each `[*spatial]` and `scaled`.

    Images with equally many channels are compared channel by channel, without channels that are constant in both; of
    others it is unknown which channels show the same, and every combination is returned.

    Args:
        moving, fixed: float `[*spatial, channels]`.
    """
    first, second = ([scaled(channel) for channel in np.moveaxis(image, -1, 0)] for image in (moving, fixed))
    if len(first) != len(second):
        return list(itertools.product(first, second))
    pairs = list(zip(first, second, strict=True))
    return [pair for pair in pairs if any(np.ptp(channel) >= TINY for channel in pair)] or pairs[:1]


def or_everything(content: np.ndarray) -> np.ndarray:
    """The mask itself, or a mask of all voxels if it is empty."""
    return content if content.any() else np.ones_like(content)


def centre_of(content: np.ndarray) -> np.ndarray:
    """Mean index of the voxels in a mask, `[ndim]`."""
    return np.mean(np.argwhere(or_everything(content)), axis=0)


def linear_of(spacing_mm: float | Sequence[float] | np.ndarray, ndim: int) -> np.ndarray:
    """Edges of a voxel in millimetres as the columns of a matrix `[ndim, ndim]`.

    Args:
        spacing_mm: one voxel size for all axes, one for each axis, or the matrix itself.
        ndim: number of axes.

    Raises:
        ValueError: another number of sizes, or sizes that do not span a volume.
    """
    sizes = np.asarray(spacing_mm, "float64")
    linear = np.diag(np.broadcast_to(sizes, ndim)) if sizes.ndim == 0 or sizes.shape == (ndim,) else sizes
    if linear.shape != (ndim, ndim) or not abs(np.linalg.det(linear)) > 0.0:
        raise ValueError(
            f"spacing_mm is one voxel size above 0, one for each of {ndim} axes, or the linear part of a grid's affine "
            f"matrix; got {spacing_mm!r}."
        )
    return linear


def views_of(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], displacement: np.ndarray, linear: np.ndarray
) -> list[View]:
    """The `View` of each channel of a pair, all on one coarse grid.

    Args:
        pairs: channels of the moving and of the fixed image, `[*spatial]`, see `channel_pairs`.
        displacement: `[*spatial, ndim]`, in voxels.
        linear: `[ndim, ndim]`, whose columns are the edges of a voxel, in millimetres.
    """
    shape = displacement.shape[:-1]
    voxels = np.median([max(int(foreground(fixed, 1.0).sum()), 1) for _, fixed in pairs])
    size_mm = float((voxels * abs(np.linalg.det(linear))) ** (1 / len(shape)))
    wanted = size_mm / COARSE / np.linalg.norm(linear, axis=0)
    factors = [max(1, min(round(factor), length // 4)) for factor, length in zip(wanted, shape, strict=True)]
    components = [_shrunk(component, factors) for component in np.moveaxis(np.asarray(displacement, "float32"), -1, 0)]
    field = np.stack(components, axis=-1) / np.array(factors, "float32")
    places = np.moveaxis(field, -1, 0) + np.indices(field.shape[:-1], "float32")
    views = []
    for moving, fixed in pairs:
        moving, fixed = _shrunk(moving, factors), _shrunk(fixed, factors)
        moved = ndimage.map_coordinates(moving, places, order=1, mode="nearest")
        views.append(
            View(
                moving=moving,
                fixed=fixed,
                moved=moved,
                moving_content=foreground(moving),
                fixed_content=foreground(fixed),
                moved_content=foreground(moved),
                displacement=field,
                linear=linear * np.array(factors),
                size_mm=size_mm,
            )
        )
    return views


def _shrunk(array: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Means of blocks of `factors` voxels along each axis, without the voxels at the end that fill no block."""
    whole = array[tuple(slice(0, n // factor * factor) for n, factor in zip(array.shape, factors, strict=True))]
    blocks = [n for size, factor in zip(whole.shape, factors) for n in (size // factor, factor)]
    return whole.reshape(blocks).mean(axis=tuple(range(1, 2 * array.ndim, 2)))
