"""Repairing a displacement where it folds, and leaving it alone where it does not."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from vxm_tf import metrics
from vxm_tf.spatial import AffineTransform, DisplacementField, dense
from vxm_tf.spatial.transforms import voxel_displacement
from vxm_tf.trust.folds.certificate import checked_spacing
from vxm_tf.trust.folds.failing_places import voxels_not_above
from vxm_tf.trust.folds.local_shrinking import shrink_locally

MARGIN = 0.05
"""Smallest determinant, tetrahedral and trilinear, after a repair; rounding in a file does not undo it."""
# Reach of each round: voxels to either side of a window that smooths around a fold, and over which the change fades.
SMOOTHINGS = (1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16)
SHRINKINGS = (4, 4, 8, 8, 16, 16)


@dataclasses.dataclass(frozen=True)
class Repair:
    """Record of what `repair` changed.

    Attributes:
        rounds: number of rounds of local smoothing and shrinking; 0 if nothing had to be changed.
        scale: factor by which the whole displacement was shrunk after these rounds; 1 if they were enough.
        changed_voxels: number of voxels whose displacement changed.
        mean_change_mm: mean change of the displacement over the changed voxels, in millimetres.
        max_change_mm: largest change of the displacement, in millimetres.
    """

    rounds: int = 0
    scale: float = 1.0
    changed_voxels: int = 0
    mean_change_mm: float = 0.0
    max_change_mm: float = 0.0


@dataclasses.dataclass(frozen=True)
class TransformRepair:
    """Record of the repair of a whole transform.

    Attributes:
        integration_steps: number of squarings with which the velocity was integrated again because that removed folds;
            None if it was not integrated again.
        integration_mean_change_mm: mean change of the transform by that integration over all voxels, in millimetres.
        integration_max_change_mm: largest change of the transform by that integration, in millimetres.
        displacement: record of what `repair` changed after that integration.
    """

    integration_steps: int | None = None
    integration_mean_change_mm: float = 0.0
    integration_max_change_mm: float = 0.0
    displacement: Repair = Repair()


def repair(
    displacement: np.ndarray, spacing_mm: float | Sequence[float] = 1.0, towards: np.ndarray | None = None
) -> tuple[np.ndarray, Repair]:
    """Remove every fold from a displacement, changing as little of it as possible.

    A displacement that passes `certify` is returned as it is, the same object. Any other is smoothed over growing
    windows, round by round and only around tetrahedral and trilinear determinants below `MARGIN`; if that is not
    enough, it is halved there; if that is not enough, all of it is halved until it passes, since a displacement close
    enough to the identity never folds.

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels, `ij` order.
        spacing_mm: voxel size, one number or one for each axis; only the record depends on it.
        towards: displacement of the same shape that folds nowhere, such as an affine one, towards which everything is
            smoothed and shrunk; None for the identity.

    Returns:
        (displacement, `Repair`): the displacement keeps its precision, float32 or more.

    Raises:
        ValueError: see `metrics.jacobian_determinant`; a `towards` that folds or has another shape.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.trust import certify, repair
    >>> displacement = np.zeros((9, 9, 2), "float32")
    >>> displacement[4, 4, 0] = 1.5
    >>> mended, report = repair(displacement)
    >>> certify(mended).passes, report.rounds
    (True, 1)
    """
    displacement = np.asarray(displacement)
    if not voxels_not_above(displacement, 0.0).any():
        return displacement, Repair()
    spacing_mm = checked_spacing(spacing_mm, displacement.ndim - 1)
    dtype = np.result_type(displacement.dtype, "float32")
    before = displacement.astype(dtype)
    base = np.zeros_like(before) if towards is None else np.asarray(towards, dtype)
    margin = _margin(base, before.shape)

    def measure(field: np.ndarray) -> tuple[np.ndarray, bool]:
        tight = voxels_not_above(field, margin)
        return tight, bool(tight.any())

    shrunk = shrink_locally(before, measure, _near, _smoothed, smoothings=SMOOTHINGS, shrinkings=SHRINKINGS, base=base)
    after = shrunk.field
    lengths = np.linalg.norm((after.astype("float64") - before) * spacing_mm, axis=-1)
    changed = np.any(after != before, axis=-1)
    return after, Repair(
        rounds=shrunk.rounds,
        scale=shrunk.scale,
        changed_voxels=int(changed.sum()),
        mean_change_mm=float(lengths[changed].mean()),
        max_change_mm=float(lengths.max()),
    )


def repair_transform(field: DisplacementField, affine: AffineTransform) -> tuple[DisplacementField, Repair]:
    """Repair a displacement field in world space, on its own grid and towards an affine transform; see `repair`.

    Returns:
        (field, `Repair`): the same object if it passes `certify`.

    Raises:
        ValueError: an affine transform that folds, such as one that mirrors.
    """
    before = voxel_displacement(field)
    after, report = repair(before, field.grid.spacing_mm, voxel_displacement(dense(affine, field.grid)))
    if after is before:
        return field, report
    changed = np.any(after != before, axis=-1, keepdims=True)
    linear = field.grid.affine[:-1, :-1].astype("float32")
    return DisplacementField(field.grid, np.where(changed, after @ linear.T, field.displacement_mm)), report


def _margin(base: np.ndarray, shape: tuple[int, ...]) -> float:
    """Smallest determinant to aim for: `MARGIN`, or half the smallest one of `base` if that is less."""
    if base.shape != shape:
        raise ValueError(f"towards has the shape of the displacement, {shape}; got {base.shape}.")
    smallest = min(value.min() for _, _, value in metrics.simplex_determinants(base, "float64"))
    if not smallest > 0.0:
        raise ValueError(
            f"What the displacement would be repaired towards folds itself (smallest determinant {smallest:.3g}); "
            "smoothing and shrinking cannot mend that."
        )
    return min(MARGIN, 0.5 * float(smallest))


def _smoothed(field: np.ndarray, reach: int) -> np.ndarray:
    """Means over a window, component by component; beyond the border the field continues as its edge."""
    size = (*[2 * reach + 1] * (field.ndim - 1), 1)
    return ndimage.uniform_filter(field, size, mode="nearest")


def _near(places: np.ndarray, reach: int) -> np.ndarray:
    """Weights `[*spatial, 1]`: 1 at the places and their neighbours, falling to 0 at twice the reach from them."""
    neighbours = ndimage.maximum_filter(places, 3 + 2 * reach).astype("float64")
    weight = ndimage.uniform_filter(neighbours, 2 * reach + 1, mode="nearest")
    # Running sums leave a rounding error where nothing is near.
    return np.where(weight > 1e-9, weight, 0.0)[..., None]
