"""Mending a displacement where it folds, and leaving it alone where it does not."""

import dataclasses

import numpy as np
from scipy import ndimage

from vxm_tf import metrics
from vxm_tf.spatial import AffineTransform, DisplacementField, dense
from vxm_tf.spatial.transforms import voxel_displacement
from vxm_tf.trust.folds.certificate import spacing_of_axes

MARGIN = 0.05
"""Determinant that a repair asks for, so that rounding in a file, or another grid, does not undo it."""
# Voxels to either side over which each round smooths where it is needed, and over which that fades.
SMOOTHINGS = (1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16)
SHRINKINGS = (4, 4, 8, 8, 16, 16)


@dataclasses.dataclass(frozen=True)
class Repair:
    """What `repair` changed.

    Attributes:
        rounds: of local smoothing and shrinking; 0 if nothing had to be changed.
        scale: of the whole displacement at last, where that was not enough; 1 if it was.
        changed_voxels: whose displacement is another one.
        mean_change_mm: over those, in millimetres.
        max_change_mm: likewise.
    """

    rounds: int = 0
    scale: float = 1.0
    changed_voxels: int = 0
    mean_change_mm: float = 0.0
    max_change_mm: float = 0.0


@dataclasses.dataclass(frozen=True)
class TransformRepair:
    """What was done to a transform so that it folds nowhere.

    Attributes:
        integration_steps: squarings with which the velocity was integrated again, where that removed folds; None if
            it was not.
        integration_mean_change_mm: mean change of the transform by that integration over all voxels, in millimetres.
        integration_max_change_mm: largest change of the transform by that integration, in millimetres.
        displacement: record of what `repair` changed afterwards.
    """

    integration_steps: int | None = None
    integration_mean_change_mm: float = 0.0
    integration_max_change_mm: float = 0.0
    displacement: Repair = Repair()


def repair(displacement, spacing_mm=1.0, towards=None):
    """A displacement that folds nowhere, and what had to be changed for that.

    One that passes `certify` is returned as it is, the same object. In others, round by round and only around
    determinants below `MARGIN`, the displacement is smoothed, over growing windows; if that is not enough, it is
    halved there; if that is not enough, all of it is halved until nothing folds, as near the identity nothing does.

    Args:
        displacement: `[*spatial, ndim]`, 1 to 3 axes, in voxels, `ij` order.
        spacing_mm: voxel size, one number or one for each axis, for the report.
        towards: what is left when everything else is smoothed or shrunk away, a displacement of the same shape that
            folds nowhere, such as an affine one; None for the identity.

    Returns:
        (displacement, `Repair`): in the precision it came in, at least float32.

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
    if not _below(displacement, 0.0).any():
        return displacement, Repair()
    spacing_mm = spacing_of_axes(spacing_mm, displacement.ndim - 1)
    dtype = np.result_type(displacement.dtype, "float32")
    before = displacement.astype(dtype)
    base = np.zeros_like(before) if towards is None else np.asarray(towards, dtype)
    margin = _margin(base, before.shape)
    after, rounds = _mended_locally(before, base, margin)
    after, scale = _scaled(after, base, margin)
    lengths = np.linalg.norm((after.astype("float64") - before) * spacing_mm, axis=-1)
    changed = np.any(after != before, axis=-1)
    return after, Repair(rounds, scale, int(changed.sum()), float(lengths[changed].mean()), float(lengths.max()))


def repair_transform(field: DisplacementField, affine: AffineTransform):
    """`repair` of a field in world millimetres, in voxels of its own grid, towards an affine transform.

    Returns:
        (field, `Repair`): the same object if it folds nowhere.

    Raises:
        ValueError: an affine transform that folds, as one that mirrors.
    """
    before = voxel_displacement(field)
    after, report = repair(before, field.grid.spacing_mm, voxel_displacement(dense(affine, field.grid)))
    if after is before:
        return field, report
    changed = np.any(after != before, axis=-1, keepdims=True)
    linear = field.grid.affine[:-1, :-1].astype("float32")
    return DisplacementField(field.grid, np.where(changed, after @ linear.T, field.displacement_mm)), report


def _below(displacement, determinant):
    """Bool `[*spatial]`: where one of the determinants that decide is not above this."""
    found = np.zeros(np.shape(displacement)[:-1], bool)
    for _, part, value in metrics.simplex_determinants(np.asarray(displacement, "float64")):
        found[part] |= ~(value > determinant)
    return found


def _margin(base, shape):
    if base.shape != shape:
        raise ValueError(f"towards has the shape of the displacement, {shape}; got {base.shape}.")
    smallest = min(value.min() for _, _, value in metrics.simplex_determinants(base.astype("float64")))
    if not smallest > 0.0:
        raise ValueError(
            f"What the displacement would be repaired towards folds itself (smallest determinant {smallest:.3g}); "
            "smoothing and shrinking cannot mend that."
        )
    return min(MARGIN, 0.5 * float(smallest))


def _mended_locally(before, base, margin):
    """(displacement, rounds done); it may fold still."""
    after, rounds = before, 0
    for number, reach in enumerate(SMOOTHINGS + SHRINKINGS):
        tight = _below(after, margin)
        if not tight.any():
            break
        rest = after.astype("float64") - base
        target = _smoothed(rest, reach) if number < len(SMOOTHINGS) else 0.5 * rest
        weight = _near(tight, reach)
        mended = (base + rest + weight * (target - rest)).astype(before.dtype)
        # Where nothing is to be done not even the last bit changes.
        after, rounds = np.where(weight > 0.0, mended, after), number + 1
    return after, rounds


def _smoothed(field, reach):
    """The mean over a window, component by component; edges go on."""
    size = (*[2 * reach + 1] * (field.ndim - 1), 1)
    return ndimage.uniform_filter(field, size, mode="nearest")


def _near(places, reach):
    """`[*spatial, 1]`, from 1 at places and their neighbours to 0 twice the reach away from those."""
    neighbours = ndimage.maximum_filter(places, 3 + 2 * reach).astype("float64")
    weight = ndimage.uniform_filter(neighbours, 2 * reach + 1, mode="nearest")
    # Running sums leave a rounding error where nothing is near.
    return np.where(weight > 1e-9, weight, 0.0)[..., None]


def _scaled(displacement, base, margin):
    """(displacement, how much of it was kept): halved, all of it, until nothing folds."""
    after, scale = displacement, 1.0
    while _below(after, margin).any():
        scale *= 0.5
        after = (base + scale * (displacement.astype("float64") - base)).astype(displacement.dtype)
    return after, scale
