"""The planes that a volume is looked at in, the way viewers turn them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vxm_tf.spatial.grid import check_orientation

# The two ends of each axis of the usual orientation, "RAS".
RAS_ENDS = ("LR", "PA", "IS")


@dataclasses.dataclass(frozen=True)
class Plane:
    """How one plane lies on the screen.

    Attributes:
        name: "axial" and so on; of images that know no place, the axis that it stands across.
        axis: of the array that it stands across; None for a 2-D image.
        across: axis that runs to the right.
        up: the other axis.
        downwards: whether that one runs down instead of up.
        letters: what lies to the left, right, top and bottom; empty where that is not known.
    """

    name: str
    axis: int | None
    across: int
    up: int
    downwards: bool = False
    letters: str = ""


def planes_of(ndim: int, placed: bool) -> tuple[Plane, ...]:
    """The planes of an image with its axes to the right, anterior and superior; of a 2-D one with rows downwards."""
    if ndim == 2:
        return (Plane("slice", None, 1, 0, True),)
    if not placed:
        return tuple(Plane(f"across axis {k}", k, *[j for j in range(3) if j != k]) for k in range(3))
    return (
        Plane("axial", 2, 0, 1, letters="LRAP"),
        Plane("coronal", 1, 0, 2, letters="LRSI"),
        Plane("sagittal", 0, 1, 2, letters="PASI"),
    )


def slice_of(volume, plane: Plane, index: int | None = None) -> np.ndarray:
    """One slice, `[rows, columns]` or `[rows, columns, channels]`, the middle one if `index` is None."""
    return slice_across(volume, plane.axis, index)


def slice_across(volume, axis: int | None, index: int | None = None) -> np.ndarray:
    """The same, of the plane that stands across an axis; of a 2-D image, None, all of it."""
    if axis is None:
        return volume
    index = volume.shape[axis] // 2 if index is None else index
    # Transposed and flipped, so that the last of the two axes runs upwards as in a viewer.
    return np.swapaxes(np.take(volume, index, axis=axis), 0, 1)[::-1]


def turned_to_ras(
    images: Sequence[np.ndarray], displacement: np.ndarray, spacing: Sequence[float], orientation: str
) -> tuple[list[np.ndarray], np.ndarray, tuple[float, ...]]:
    """Images with their displacement and voxel size, turned so that the axes point right, anterior and superior.

    Args:
        images: arrays `[*spatial]` of three axes.
        displacement: `[*spatial, 3]`, in voxels.
        spacing: voxel size along each axis.
        orientation: the directions in which the axes point, such as "LIA".

    Raises:
        VolumeError: an orientation that does not name each direction once.
    """
    check_orientation(orientation, 3)
    order = [next(k for k, letter in enumerate(orientation) if letter in ends) for ends in RAS_ENDS]
    flipped = [axis for axis, ends in enumerate(RAS_ENDS) if orientation[order[axis]] == ends[0]]
    signs = np.where(np.isin(range(3), flipped), -1, 1).astype(displacement.dtype)
    turned = [np.flip(image.transpose(order), flipped) for image in images]
    displacement = signs * np.flip(displacement.transpose(*order, 3), flipped)[..., order]
    return turned, displacement, tuple(spacing[axis] for axis in order)
