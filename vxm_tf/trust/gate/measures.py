"""Measures of a registration that need no labels: likeness, noise, completeness and deformation.

Lengths are relative to the size of the fixed image's foreground, the edge of a cube of the same volume, so that a
measure is much the same at 1 mm and at 2 mm, for a brain and for a hippocampus.
"""

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from scipy import ndimage

from vxm_tf.metrics import foreground, jacobian_determinant, local_correlation

# Number of coarse voxels along the edge of that cube at which images are compared; a head at 2 mm has twice as many.
COARSE = 30
# Relative to the edge of the cube: widths of the windows for likeness and for mirrors, and the least depth of a part
# that counts as missing.
WINDOW, MIRROR_WINDOW, DEEP = 1 / 20, 1 / 8, 1 / 20
# A voxel whose volume changes by more than this factor is strongly deformed.
STRONG = 2.5
# Contrasts and variances below this are rounding errors.
_TINY = 1e-5


class Spread(Protocol):
    """Any estimate of a registration's uncertainty, such as `Uncertainty`."""

    @property
    def displacement_std_mm(self) -> np.ndarray:
        """Standard deviation of the displacement, `[*spatial]`, in millimetres."""


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
        return _or_everything(self.fixed_content | self.moved_content)


def measures_of(
    moving: np.ndarray,
    fixed: np.ndarray,
    displacement: np.ndarray,
    uncertainty: Spread | None = None,
    spacing_mm: float = 1.0,
) -> dict[str, float]:
    """Every measure of a registration by name; `limits.LIMITS` explains each in a sentence.

    Args:
        moving, fixed: float `[*spatial, channels]`, on one grid, finite.
        displacement: `[*spatial, ndim]`, in voxels.
        uncertainty: estimate of the registration's uncertainty; None leaves its measure out.
        spacing_mm: geometric mean of the voxel size, in millimetres.
    """
    moving, fixed = _scaled(moving), _scaled(fixed)
    view = _view(moving, fixed, displacement)
    return {
        "moving_empty": float(np.ptp(moving) < _TINY),
        "fixed_empty": float(np.ptp(fixed) < _TINY),
        "noise": max(_noise(moving), _noise(fixed)),
        **_likeness(view),
        **_completeness(view),
        **_places(view),
        **_deformation(view),
        **_uncertainty(uncertainty, fixed, spacing_mm),
    }


def _scaled(image: np.ndarray) -> np.ndarray:
    """Mean of the channels, scaled from its 0.5th and 99.5th percentile to [0, 1]; zeros for a constant image."""
    image = np.asarray(image, "float32").mean(axis=-1)
    low, high = np.percentile(image, (0.5, 99.5))
    if high - low < _TINY:
        low, high = float(image.min()), float(image.max())
    return np.clip((image - low) / max(high - low, _TINY), 0.0, 1.0) if high - low >= _TINY else np.zeros_like(image)


def _or_everything(content: np.ndarray) -> np.ndarray:
    """The mask itself, or a mask of all voxels if it is empty."""
    return content if content.any() else np.ones_like(content)


def _centre(content: np.ndarray) -> np.ndarray:
    """Mean index of the voxels in a mask, `[ndim]`."""
    return np.mean(np.argwhere(_or_everything(content)), axis=0)


def _view(moving: np.ndarray, fixed: np.ndarray, displacement: np.ndarray) -> View:
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


def _noise(image: np.ndarray) -> float:
    """Standard deviation of an image's white noise, relative to the contrast of its foreground.

    Second differences along all axes at once remove nearly all of an edge and keep white noise; their median absolute
    value divided by 0.6745 is the standard deviation of the noise.
    """
    content = foreground(image, 1.0)
    if not content.any():
        return 0.0
    rough = image
    for axis in range(image.ndim):
        rough = ndimage.convolve1d(rough, np.array([1.0, -2.0, 1.0]) / np.sqrt(6.0), axis=axis)
    smooth = ndimage.gaussian_filter(image, 1.0)[content]
    contrast = np.subtract(*np.percentile(smooth, (95, 5)))
    return float(np.median(np.abs(rough[content])) / 0.6745 / max(contrast, 0.05))


def _likeness(view: View) -> dict[str, float]:
    """How well the brightness and the edges of moved and fixed image correlate."""
    fixed, moved = (ndimage.gaussian_filter(image, 0.3) for image in (view.fixed, view.moved))
    fixed_edges, moved_edges = (
        np.sqrt(ndimage.gaussian_gradient_magnitude(image, 0.6)) for image in (view.fixed, view.moved)
    )
    window = max(view.size * WINDOW, 0.8)
    return {
        "similarity": float(local_correlation(moved, fixed, window)[view.content].mean()),
        "edges": float(local_correlation(fixed_edges, moved_edges, window)[view.content].mean()),
    }


def _completeness(view: View) -> dict[str, float]:
    """Fraction of each foreground without a counterpart in the other, before anything is deformed."""
    moving, fixed = view.moving_content, view.fixed_content
    return {"missing": _missing(fixed, moving, view.size), "extra": _missing(moving, fixed, view.size)}


def _missing(content: np.ndarray, other: np.ndarray, size: float) -> float:
    """Fraction of one mask that lies far from another, but no more than the other one is smaller.

    A mask of the same size that lies elsewhere lacks nothing.
    """
    if not content.any():
        return 0.0
    if not other.any():
        return 1.0
    far = ndimage.distance_transform_edt(~other)[content] > DEEP * size
    return float(max(min(far.mean(), 1.0 - other.sum() / content.sum()), 0.0))


def _places(view: View) -> dict[str, float]:
    """How well the moving image fits as it is, mirrored and turned, before anything is deformed."""
    window = max(view.size * MIRROR_WINDOW, 0.8)
    smooth = [ndimage.gaussian_filter(image, window) for image in (view.moving, view.fixed)]
    either = _or_everything(view.moving_content | view.fixed_content)
    centre, own = (_centre(content) for content in (view.fixed_content, view.moving_content))
    measures = {"fit": _correlation(smooth[0][either], smooth[1][either])}
    for axis in range(view.fixed.ndim):
        moving, fixed = ((image - _mirrored(image, axis, centre[axis]))[either] for image in smooth)
        measures[f"mirror_{axis}"] = -_correlation(moving, fixed, centred=False)
        mirrored = _mirrored(smooth[0], axis, centre[axis])
        measures[f"mirror_fit_{axis}"] = _correlation(mirrored[either], smooth[1][either])
    turned = (_correlation(image[either], smooth[1][either]) for image in _turned(smooth[0], own))
    measures["turned_fit"] = max(turned, default=-1.0)
    return measures


def _mirrored(image: np.ndarray, axis: int, centre: float) -> np.ndarray:
    """The image mirrored about an index on an axis."""
    shift = np.zeros(image.ndim)
    shift[axis] = 2 * centre - (image.shape[axis] - 1)
    return ndimage.shift(np.flip(image, axis), shift, order=1, mode="nearest")


def _turned(image: np.ndarray, centre: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the image turned about a centre, in each plane, by angles of both signs."""
    for first in range(image.ndim):
        for second in range(first + 1, image.ndim):
            for angle in np.radians((-90, -60, -30, 30, 60, 90, 180)):
                matrix = np.eye(image.ndim)
                matrix[first, first] = matrix[second, second] = np.cos(angle)
                matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
                yield ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=1, mode="nearest")


def _correlation(a: np.ndarray, b: np.ndarray, centred: bool = True) -> float:
    """Correlation of two arrays, -1 to 1; 0 if one is constant."""
    if centred:
        a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > _TINY else 0.0


def _deformation(view: View) -> dict[str, float]:
    """How far, how strongly and how invertibly the fixed foreground is deformed."""
    inside = _or_everything(view.fixed_content)
    vectors = view.displacement[inside].astype("float64")
    lengths = np.linalg.norm(vectors, axis=-1) / view.size
    strong = folded = 0.0
    if min(view.fixed.shape) > 1:
        determinant = jacobian_determinant(view.displacement)[inside]
        strong = float(np.mean((determinant > STRONG) | (determinant < 1 / STRONG)))
        folded = float(np.mean(determinant <= 0.0))
    return {
        "displacement": float(np.percentile(lengths, 95)),
        "volume_change": strong,
        "folds": folded,
        "turn_degrees": _turn(np.argwhere(inside), vectors),
    }


def _uncertainty(uncertainty: Spread | None, fixed: np.ndarray, spacing_mm: float) -> dict[str, float]:
    """95th percentile of the spread in the fixed foreground, relative to its size; empty without an estimate."""
    if uncertainty is None:
        return {}
    content = _or_everything(foreground(fixed, 1.0))
    size_mm = content.sum() ** (1 / fixed.ndim) * spacing_mm
    return {"uncertainty": float(np.percentile(uncertainty.displacement_std_mm[content], 95) / size_mm)}


def _turn(points: np.ndarray, vectors: np.ndarray) -> float:
    """Angle in degrees of the rotation closest to points -> points + vectors (Kabsch)."""
    if points.shape[-1] == 1 or len(points) < 4:
        return 0.0
    centred = points - points.mean(axis=0)
    moved = points + vectors
    u, _, v = np.linalg.svd(centred.T @ (moved - moved.mean(axis=0)))
    signs = np.ones(len(v))
    signs[-1] = np.sign(np.linalg.det(u @ v)) or 1.0
    rotation = u @ np.diag(signs) @ v
    ndim = len(rotation)
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - (ndim - 2)) / 2.0, -1.0, 1.0))))
