"""Changes of a velocity that fold no more than it did."""

import dataclasses

import numpy as np
from keras import ops as K

from vxm_tf import metrics, ops
from vxm_tf.losses.folding import smallest_volume
from vxm_tf.ops.alignment import CELL

# Simplices of less volume than this are repaired. It grows in each round.
TIGHT = 0.05
GROWTH = 1.5
# More than the error of a volume in float32.
ROUNDING = 1e-3
SMOOTHINGS = 6
SHRINKINGS = 5
HALVINGS = 6
# Cells to either side of a tight place that a repair takes in, and over which it fades.
REACH = 5


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a displacement may fold.

    Attributes:
        fraction: `metrics.fold_fraction`.
        volume: `metrics.non_diffeomorphic_volume`.
    """

    fraction: float = 0.0
    volume: float = 0.0

    @classmethod
    def of(cls, displacement):
        """What a displacement `[*spatial, ndim]` itself needs."""
        return cls(metrics.fold_fraction(displacement), metrics.non_diffeomorphic_volume(displacement))

    def hold(self, displacement) -> bool:
        """Whether a displacement folds no more than this."""
        needed = Limits.of(displacement)
        return needed.fraction <= self.fraction and needed.volume <= self.volume


def admissible_change(start, change, integrate):
    """`change`, or as much of it as folds no more than the start.

    Where the grid folds, or nearly, the change is smoothed, round by round and in growing places; if that is
    not enough it is halved there; then all of it is halved; the last resort is no change.

    Args:
        start: velocity `[1, *grid, ndim]`, in cells of its grid.
        change: the same shape.
        integrate: velocity to displacement `[*spatial, ndim]`, in voxels of the image.

    Returns:
        (change, displacement): the same shape as `change`, and what `integrate` makes of `start` and that.
    """
    displacement = integrate(start + change)
    if folds_nowhere(displacement):
        return change, displacement
    at_start = integrate(start)
    limits = Limits.of(at_start)
    for number in range(SMOOTHINGS + SHRINKINGS + HALVINGS):
        if limits.hold(displacement):
            break
        if number < SMOOTHINGS + SHRINKINGS:
            places = _tight_places(displacement, change.shape, TIGHT * GROWTH**number)
            target = K.convert_to_numpy(ops.window_mean(change, 3)) if number < SMOOTHINGS else 0.5 * change
            change = change + places * (target - change)
        else:
            change = 0.5 * change
        displacement = integrate(start + change)
    return (change, displacement) if limits.hold(displacement) else (np.zeros_like(change), at_start)


def folds_nowhere(displacement) -> bool:
    """Whether `Limits.of` a displacement `[*spatial, ndim]` is certainly (0, 0), in a fraction of its time.

    Where every simplex keeps some volume, nothing is inside out, and the determinant of central differences is a mean
    of those at the simplices of a voxel's corners.
    """
    return bool(_smallest_volumes(displacement).min() > ROUNDING)


def _tight_places(displacement, shape, volume):
    """`[1, *grid, 1]`, from 1 at simplices of less volume than that to 0 some cells away."""
    tight = _smallest_volumes(displacement) < volume
    cells = np.zeros((1, *shape[1:-1], 1), "float32")
    # Cube i lies between voxels i - 1 and i.
    cells[(0, *(np.maximum(index - 1, 0) // CELL for index in np.nonzero(tight)), 0)] = 1.0
    near = K.convert_to_numpy(ops.window_mean(cells, REACH)) > 0
    return K.convert_to_numpy(ops.window_mean(near.astype("float32"), REACH))


def _smallest_volumes(displacement):
    return K.convert_to_numpy(smallest_volume(displacement[None]))[0]
