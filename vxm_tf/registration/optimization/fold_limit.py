"""Limiting a change of a velocity so that its integral folds no more than before the change."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from keras import ops as K

from vxm_tf import metrics, ops
from vxm_tf.losses.folding import smallest_volume
from vxm_tf.ops.alignment import CELL
from vxm_tf.trust.folds.local_shrinking import shrink_locally

# Simplices with less volume than TIGHT are repaired; each round multiplies that volume by GROWTH.
TIGHT = 0.05
GROWTH = 1.5
# Larger than the rounding error of a volume in float32.
ROUNDING = 1e-3
SMOOTHINGS = 6
SHRINKINGS = 5
HALVINGS = 6
# Number of cells around a simplex with too little volume that a repair changes fully, and over which it then fades.
REACH = 5


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a displacement may fold.

    Attributes:
        fraction: largest `metrics.fold_fraction` of the displacement.
        volume: largest `metrics.non_diffeomorphic_volume` of the displacement.
    """

    fraction: float = 0.0
    volume: float = 0.0

    @classmethod
    def of(cls, displacement: np.ndarray) -> "Limits":
        """The limits that a displacement `[*spatial, ndim]` just meets."""
        return cls(metrics.fold_fraction(displacement), metrics.non_diffeomorphic_volume(displacement))

    def hold(self, displacement: np.ndarray) -> bool:
        """Whether a displacement `[*spatial, ndim]` folds no more than these limits allow."""
        needed = Limits.of(displacement)
        return needed.fraction <= self.fraction and needed.volume <= self.volume


def admissible_change(
    start: np.ndarray, change: np.ndarray, integrate: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a change of velocity that can be kept without more folds than before the change.

    Neither the displacement nor its inverse, the integral of the velocity with its sign changed, folds more than at the
    start. Where the grid folds or nearly folds, the change is smoothed, round by round over growing regions; if that is
    not enough, it is halved there; then the whole change is halved; the last resort is no change. See `shrink_locally`.

    Args:
        start: velocity `[1, *grid, ndim]`, in cells of its grid.
        change: change of the velocity, of the same shape.
        integrate: computes the displacement `[*spatial, ndim]`, in voxels of the image, of a velocity.

    Returns:
        (change, displacement): the part of the change that is kept, of its shape, and the integral of the start and
        that part.
    """

    def both_ways(velocity: np.ndarray) -> np.ndarray:
        return np.stack((integrate(velocity), integrate(-velocity)))

    at_start = functools.cache(lambda: both_ways(start))
    limits = functools.cache(lambda: [Limits.of(displacement) for displacement in at_start()])

    def measure(change: np.ndarray) -> tuple[np.ndarray, bool]:
        both = both_ways(start + change)
        held = (folds_nowhere(both[way]) or limits()[way].hold(both[way]) for way in (0, 1))
        return both, not all(held)

    tight = [TIGHT * GROWTH**number for number in range(SMOOTHINGS + SHRINKINGS)]
    shrunk = shrink_locally(
        change,
        measure,
        lambda both, volume: _tight_places(both, change.shape, volume),
        lambda part, _: K.convert_to_numpy(ops.window_mean(part, 3)),
        smoothings=tight[:SMOOTHINGS],
        shrinkings=tight[SMOOTHINGS:],
        halvings=HALVINGS,
        precision="float32",
    )
    return (np.zeros_like(change), at_start()[0]) if shrunk.folds else (shrunk.field, shrunk.measured[0])


def folds_nowhere(displacement: np.ndarray) -> bool:
    """Whether a displacement `[*spatial, ndim]` certainly has the `Limits` (0, 0); much faster than computing them.

    Where every simplex keeps some volume, none is inside out, and the determinant of central differences, a mean of
    those at the simplices of a voxel's corners, is positive too. Whether trilinear interpolation folds between the
    voxels is left to the certificate.
    """
    return bool(_smallest_volumes(displacement[None]).min() > ROUNDING)


def _tight_places(displacements: np.ndarray, shape: tuple[int, ...], volume: float) -> np.ndarray:
    """Weights `[1, *grid, 1]`: 1 at simplices with less than this volume, falling to 0 some cells away.

    Args:
        displacements: `[displacements, *spatial, ndim]`; a simplex counts if it is too small in one of them.
        shape: shape of the velocity, `[1, *grid, ndim]`.
        volume: relative volume of a simplex.
    """
    tight = _smallest_volumes(displacements).min(axis=0) < volume
    cells = np.zeros((1, *shape[1:-1], 1), "float32")
    # Cube i lies between voxels i - 1 and i.
    cells[0, ..., 0][tuple(np.maximum(index - 1, 0) // CELL for index in np.nonzero(tight))] = 1.0
    near = K.convert_to_numpy(ops.window_mean(cells, REACH)) > 0
    return K.convert_to_numpy(ops.window_mean(near.astype("float32"), REACH))


def _smallest_volumes(displacements: np.ndarray) -> np.ndarray:
    return K.convert_to_numpy(smallest_volume(displacements))
