"""Millimetres between a point and the place to which a transform and its inverse take it."""

import dataclasses
import math

import numpy as np

from vxm_tf.spatial import DisplacementField, Grid, Transform
from vxm_tf.spatial.transforms import slabs


@dataclasses.dataclass(frozen=True)
class InverseConsistency:
    """Length of inverse(transform(p)) - p, over the voxels p that the transform keeps inside the moving grid.

    Attributes:
        mean_mm: mean length, in millimetres.
        percentile_95_mm: 95th percentile of the length, in millimetres.
        max_mm: largest length, in millimetres.
        inside: fraction of all voxels that stay inside the moving grid and are measured, 0 to 1.
    """

    mean_mm: float
    percentile_95_mm: float
    max_mm: float
    inside: float


def inverse_consistency(
    transform: DisplacementField, inverse: Transform, moving_grid: Grid
) -> InverseConsistency | None:
    """Measure how well one transform undoes another, see `InverseConsistency`; None if no voxel stays inside."""
    lengths = []
    for start, stop in slabs(transform.grid.shape):
        points = transform.grid.slab_points(start, stop)
        moved = points + transform.displacement_mm[start:stop]
        inside = moving_grid.contains(moved)
        lengths.append(np.linalg.norm(inverse.map(moved[inside]) - points[inside], axis=-1))
    residuals = np.concatenate(lengths)
    if not residuals.size:
        return None
    return InverseConsistency(
        mean_mm=float(residuals.mean()),
        percentile_95_mm=float(np.percentile(residuals, 95)),
        max_mm=float(residuals.max()),
        inside=residuals.size / math.prod(transform.grid.shape),
    )
