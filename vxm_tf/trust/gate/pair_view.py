"""A registered pair, prepared for measuring: coarse, with one channel, and with its foregrounds."""

import dataclasses

import numpy as np
from scipy import ndimage

from vxm_tf.metrics import foreground

COARSE = 30
"""Number of coarse voxels along the edge of a cube with the foreground's volume; a head at 2 mm has twice as many."""
TINY = 1e-5
"""Contrasts and variances below this are rounding errors."""


@dataclasses.dataclass(frozen=True)
class View:
    """A pair prepared for measuring: coarse, without channels, scaled to [0, 1].

    Attributes:
        moving, fixed, moved: float `[*spatial]`.
        moving_content, fixed_content, moved_content: bool `[*spatial]`, foreground of each image.
        displacement: `[*spatial, ndim]`, in coarse voxels.
        size: edge of a cube with the volume of the fixed image's foreground, in coarse voxels.
    """

    moving: np.ndarray
    fixed: np.ndarray
    moved: np.ndarray
    moving_content: np.ndarray
    fixed_content: np.ndarray
    moved_content: np.ndarray
    displacement: np.ndarray
    size: float

    @property
    def content(self) -> np.ndarray:
        """Bool `[*spatial]`, foreground of the fixed or the moved image; all voxels if both have none."""
        return or_everything(self.fixed_content | self.moved_content)


def scaled(image: np.ndarray) -> np.ndarray:
    """Mean of the channels, scaled from its 0.5th and 99.5th percentile to [0, 1]; zeros for a constant image."""
    image = np.asarray(image, "float32").mean(axis=-1)
    low, high = np.percentile(image, (0.5, 99.5))
    if high - low < TINY:
        low, high = float(image.min()), float(image.max())
    return np.clip((image - low) / max(high - low, TINY), 0.0, 1.0) if high - low >= TINY else np.zeros_like(image)


def or_everything(content: np.ndarray) -> np.ndarray:
    """The mask itself, or a mask of all voxels if it is empty."""
    return content if content.any() else np.ones_like(content)


def centre_of(content: np.ndarray) -> np.ndarray:
    """Mean index of the voxels in a mask, `[ndim]`."""
    return np.mean(np.argwhere(or_everything(content)), axis=0)


def view_of(moving: np.ndarray, fixed: np.ndarray, displacement: np.ndarray) -> View:
    """The `View` of a pair.

    Args:
        moving, fixed: images `[*spatial]`, see `scaled`.
        displacement: `[*spatial, ndim]`, in voxels.
    """
    content = foreground(fixed, 1.0)
    size = max(int(content.sum()), 1) ** (1 / fixed.ndim)
    factor = max(1, min(round(size / COARSE), min(fixed.shape) // 4))
    moving, fixed = _shrunk(moving, factor), _shrunk(fixed, factor)
    components = [_shrunk(component, factor) for component in np.moveaxis(np.asarray(displacement, "float32"), -1, 0)]
    field = np.stack(components, axis=-1) / factor
    places = np.moveaxis(field, -1, 0) + np.indices(fixed.shape)
    moved = ndimage.map_coordinates(moving, places, order=1, mode="nearest")
    return View(
        moving=moving,
        fixed=fixed,
        moved=moved,
        moving_content=foreground(moving),
        fixed_content=foreground(fixed),
        moved_content=foreground(moved),
        displacement=field,
        size=size / factor,
    )


def _shrunk(array: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks of `factor` voxels along each axis, without the voxels at the end that fill no block."""
    whole = array[tuple(slice(0, n // factor * factor) for n in array.shape)]
    blocks = [n for size in whole.shape for n in (size // factor, factor)]
    return whole.reshape(blocks).mean(axis=tuple(range(1, 2 * array.ndim, 2)))
