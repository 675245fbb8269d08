"""Distances between the surfaces of a label in two images."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from vxm_tf.metrics.dice import check_same_shape


@dataclasses.dataclass(frozen=True)
class SurfaceDistance:
    """Distances between two surfaces; `surface_distances` defines both.

    Attributes:
        hausdorff95_mm: 95th percentile of the Hausdorff distance, in millimetres.
        mean_mm: average symmetric surface distance, in millimetres.
    """

    hausdorff95_mm: float
    mean_mm: float


def surface_distances(
    moved_labels: np.ndarray, fixed_labels: np.ndarray, label: int, spacing_mm: Sequence[float]
) -> SurfaceDistance:
    """Distances between the surfaces of one label in two images.

    The surface of a mask is its voxels with at least one face neighbour outside: the mask minus its
    erosion with a face-connected element, where everything beyond the image counts as outside. Distances are
    Euclidean, between voxel centres, from each surface voxel of one mask to the nearest surface voxel of the other, in
    both directions.

    - `hausdorff95_mm`: the larger of the two directions' 95th percentiles, each interpolated linearly
      between ranks (a ranked Hausdorff distance, Huttenlocher et al., PAMI 1993).
    - `mean_mm`: the mean of all distances of both directions together (average symmetric surface distance).

    Args:
        moved_labels: integers `[*spatial]`, any number of axes.
        fixed_labels: integers, the shape of `moved_labels`.
        label: the id to measure.
        spacing_mm: distance of neighbouring voxel centres along each axis, in millimetres.

    Returns:
        Both distances in millimetres; both NaN where the label is absent from one image or from both.

    Raises:
        ValueError: shapes that differ, or a spacing that is not one positive number per axis.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import metrics
    >>> metrics.surface_distances(np.array([[1, 0, 0]]), np.array([[0, 0, 1]]), 1, spacing_mm=(1.0, 1.5))
    SurfaceDistance(hausdorff95_mm=3.0, mean_mm=3.0)
    """
    moved_labels, fixed_labels = np.asarray(moved_labels), np.asarray(fixed_labels)
    check_same_shape(moved_labels, fixed_labels)
    spacing = _check_spacing(spacing_mm, moved_labels.ndim)
    moved, fixed = moved_labels == label, fixed_labels == label
    if not moved.any() or not fixed.any():
        return SurfaceDistance(np.nan, np.nan)
    box = _bounding_box(moved | fixed)
    moved, fixed = _surface(moved[box]), _surface(fixed[box])
    there = _distances(moved, fixed, spacing)
    back = _distances(fixed, moved, spacing)
    return SurfaceDistance(
        hausdorff95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        mean_mm=float(np.concatenate([there, back]).mean()),
    )


def _check_spacing(spacing_mm: Sequence[float], ndim: int) -> np.ndarray:
    spacing = np.asarray(spacing_mm, dtype=float)
    if spacing.shape != (ndim,) or not np.all(np.isfinite(spacing) & (spacing > 0)):
        raise ValueError(
            f"spacing_mm is one positive number of millimetres for each of the {ndim} axes; got {spacing_mm!r}."
        )
    return spacing


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds every voxel of a mask that is not empty."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        # Cropping to the slices of earlier axes makes each further axis cheaper to search.
        occupied = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
        mask = mask[(slice(None),) * axis + (box[-1],)]
    return tuple(box)


def _surface(mask: np.ndarray) -> np.ndarray:
    # SciPy's default element is face-connected, and its default border value is outside.
    return mask & ~ndimage.binary_erosion(mask)


def _distances(surface: np.ndarray, other: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Distance in millimetres from each voxel of `surface` to the nearest one of `other`."""
    # Finding the nearest voxels takes half the time of computing distances, which are needed on the surface alone.
    nearest = ndimage.distance_transform_edt(~other, sampling=spacing_mm, return_distances=False, return_indices=True)
    steps = nearest[:, surface] - np.stack(np.nonzero(surface))
    return np.linalg.norm(steps * spacing_mm[:, np.newaxis], axis=0)
