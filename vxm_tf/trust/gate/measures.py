"""Measures of a registration that need no labels: similarity, rest, noise, completeness and deformation.

Lengths are measured in millimetres, and are relative to the size of the fixed image's foreground, the edge of a cube of
the same volume, so that a measure is much the same at 1 mm and at 2 mm, for a brain and for a hippocampus. Every
channel is measured on its own.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from scipy import ndimage

from vxm_tf.metrics import foreground, jacobian_determinant, local_correlation
from vxm_tf.trust.gate.pair_view import TINY, View, centre_of, channel_pairs, linear_of, or_everything, views_of
from vxm_tf.trust.gate.unrest import unrest_mm

# Relative to the edge of the cube: widths of the windows for similarity and for mirrored images, and the smallest depth
# of a part that counts as missing.
WINDOW, MIRROR_WINDOW, DEEP = 1 / 20, 1 / 8, 1 / 20
# A voxel whose volume changes by more than this factor is strongly deformed.
STRONG = 2.5
# Sizes of organs, from a hippocampus to a head, for which the limits of unrest hold. What is smaller or larger is
# judged as if it had the nearest of these sizes: a millimetre is much for a mouse's brain.
SIZES_MM = 40.0, 150.0


class Spread(Protocol):
    """Any estimate of a registration's uncertainty, such as `Uncertainty`."""

    @property
    def displacement_std_mm(self) -> np.ndarray:
        """Standard deviation of the displacement, `[*spatial]`, in millimetres."""


def measures_of(
    moving: np.ndarray,
    fixed: np.ndarray,
    displacement: np.ndarray,
    uncertainty: Spread | None = None,
    spacing_mm: float | Sequence[float] | np.ndarray = 1.0,
) -> dict[str, float]:
    """Every measure of a registration by name; `measure_limits.LIMITS` explains each in a sentence.

    Channels are measured one by one: the noise is that of the worst, any other measure the mean. Where the images have
    different numbers of channels, the most similar combination is measured.

    Args:
        moving, fixed: float `[*spatial, channels]`, on one grid, finite.
        displacement: `[*spatial, ndim]`, in voxels.
        uncertainty: estimate of the registration's uncertainty; None leaves its measure out.
        spacing_mm: voxel size in millimetres: one for all axes, one for each, or the linear part of the grid's affine
            matrix.

    Raises:
        ValueError: voxel sizes of another number of axes.
    """
    linear = linear_of(spacing_mm, displacement.shape[-1])
    pairs = channel_pairs(moving, fixed)
    views = views_of(pairs, displacement, linear)
    if moving.shape[-1] != fixed.shape[-1]:
        best = max(range(len(views)), key=lambda number: _likeness(views[number])["similarity"])
        pairs, views = pairs[best : best + 1], views[best : best + 1]
    channels = [{**_likeness(v), **_completeness(v), **_places(v), **_deformation(v)} for v in views]
    unrest = unrest_mm(views)
    return {
        "moving_empty": float(all(np.ptp(channel) < TINY for channel, _ in pairs)),
        "fixed_empty": float(all(np.ptp(channel) < TINY for _, channel in pairs)),
        "noise": max(_noise(channel) for pair in pairs for channel in pair),
        **{name: float(np.mean([measures[name] for measures in channels])) for name in channels[0]},
        "unrest": unrest * float(np.clip(views[0].size_mm, *SIZES_MM)) / views[0].size_mm,
        "unrest_mm": unrest,
        **_uncertainty(uncertainty, [channel for _, channel in pairs], views[0].size_mm),
    }


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
    """Correlation of the brightness and of the edges of the moved and the fixed image."""
    fixed, moved = (ndimage.gaussian_filter(image, 0.3) for image in (view.fixed, view.moved))
    fixed_edges, moved_edges = (
        np.sqrt(ndimage.gaussian_gradient_magnitude(image, 0.6)) for image in (view.fixed, view.moved)
    )
    window = view.window(WINDOW)
    return {
        "similarity": float(local_correlation(moved, fixed, window)[view.content].mean()),
        "edges": float(local_correlation(fixed_edges, moved_edges, window)[view.content].mean()),
    }


def _completeness(view: View) -> dict[str, float]:
    """Fraction of each foreground without a counterpart in the other, before anything is deformed."""
    moving, fixed = view.moving_content, view.fixed_content
    return {"missing": _missing(fixed, moving, view), "extra": _missing(moving, fixed, view)}


def _missing(content: np.ndarray, other: np.ndarray, view: View) -> float:
    """Fraction of one mask that is far from another mask, limited to the fraction by which the other is smaller.

    Nothing is missing if the other mask is as large but at another place.
    """
    if not content.any():
        return 0.0
    if not other.any():
        return 1.0
    far = ndimage.distance_transform_edt(~other, sampling=view.spacing_mm)[content] > DEEP * view.size_mm
    return float(max(min(far.mean(), 1.0 - other.sum() / content.sum()), 0.0))


def _places(view: View) -> dict[str, float]:
    """Correlation of the fixed image with the moving image as it is, mirrored and rotated, before any deformation."""
    window = view.window(MIRROR_WINDOW)
    smooth = [ndimage.gaussian_filter(image, window) for image in (view.moving, view.fixed)]
    either = or_everything(view.moving_content | view.fixed_content)
    centre, own = (centre_of(content) for content in (view.fixed_content, view.moving_content))
    measures = {"fit": _correlation(smooth[0][either], smooth[1][either])}
    for axis in range(view.fixed.ndim):
        moving, fixed = ((image - _mirrored(image, axis, centre[axis]))[either] for image in smooth)
        measures[f"mirror_{axis}"] = -_correlation(moving, fixed, centred=False)
        mirrored = _mirrored(smooth[0], axis, centre[axis])
        measures[f"mirror_fit_{axis}"] = _correlation(mirrored[either], smooth[1][either])
    turned = (_correlation(image[either], smooth[1][either]) for image in _turned(smooth[0], own, view.spacing_mm))
    measures["turned_fit"] = max(turned, default=-1.0)
    return measures


def _mirrored(image: np.ndarray, axis: int, centre: float) -> np.ndarray:
    """The image mirrored about an index on an axis."""
    shift = np.zeros(image.ndim)
    shift[axis] = 2 * centre - (image.shape[axis] - 1)
    return ndimage.shift(np.flip(image, axis), shift, order=1, mode="nearest")


def _turned(image: np.ndarray, centre: np.ndarray, spacing_mm: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the image rotated in space about a centre, in each plane, by angles of both signs."""
    for first in range(image.ndim):
        for second in range(first + 1, image.ndim):
            for angle in np.radians((-90, -60, -30, 30, 60, 90, 180)):
                matrix = np.eye(image.ndim)
                matrix[first, first] = matrix[second, second] = np.cos(angle)
                matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
                matrix = matrix * spacing_mm / spacing_mm[:, None]
                yield ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=1, mode="nearest")


def _correlation(a: np.ndarray, b: np.ndarray, centred: bool = True) -> float:
    """Correlation of two arrays, -1 to 1; 0 if one is constant."""
    if centred:
        a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > TINY else 0.0


def _deformation(view: View) -> dict[str, float]:
    """Length, volume change, folds and rotation of the deformation in the fixed foreground."""
    inside = or_everything(view.fixed_content)
    vectors_mm = view.displacement[inside].astype("float64") @ view.linear.T
    lengths = np.linalg.norm(vectors_mm, axis=-1) / view.size_mm
    strong = folded = 0.0
    if min(view.fixed.shape) > 1:
        determinant = jacobian_determinant(view.displacement)[inside]
        strong = float(np.mean((determinant > STRONG) | (determinant < 1 / STRONG)))
        folded = float(np.mean(determinant <= 0.0))
    return {
        "displacement": float(np.percentile(lengths, 95)),
        "volume_change": strong,
        "folds": folded,
        "turn_degrees": _turn(np.argwhere(inside) @ view.linear.T, vectors_mm),
    }


def _uncertainty(uncertainty: Spread | None, fixed: Sequence[np.ndarray], size_mm: float) -> dict[str, float]:
    """95th percentile of the spread in the fixed foreground, relative to its size; empty without an estimate."""
    if uncertainty is None:
        return {}
    std_mm = uncertainty.displacement_std_mm
    spreads = [np.percentile(std_mm[or_everything(foreground(channel, 1.0))], 95) for channel in fixed]
    return {"uncertainty": float(np.mean(spreads)) / size_mm}


def _turn(points: np.ndarray, vectors: np.ndarray) -> float:
    """Angle in degrees of the rotation closest to points -> points + vectors, both in millimetres (Kabsch)."""
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
