"""The planes in which a volume is shown, turned as in medical viewers."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vxm_tf.spatial.grid import check_orientation

# The two ends of each axis of the usual orientation, "RAS".
RAS_ENDS = ("LR", "PA", "IS")


@dataclasses.dataclass(frozen=True)
class Plane:
    """One plane, and how its slices lie on the screen.

    Attributes:
        name: "axial", "coronal" or "sagittal"; the perpendicular axis if the orientation of the image is unknown.
        axis: array axis perpendicular to the plane; None for a 2-D image.
        across: array axis that runs to the right on the screen.
        up: array axis that runs vertically on the screen.
        downwards: whether the vertical axis runs down instead of up.
        letters: directions at the left, right, top and bottom of the screen; empty if unknown.
    """

    name: str
    axis: int | None
    across: int
    up: int
    downwards: bool = False
    letters: str = ""


def planes_of(ndim: int, placed: bool) -> tuple[Plane, ...]:
    """The planes in which an image is shown.

    Args:
        ndim: number of axes, 2 or 3. A 2-D image has one plane, whose rows run downwards.
        placed: whether the axes of a 3-D image point right, anterior and superior.
    """
    if ndim == 2:
        return (Plane("slice", None, 1, 0, True),)
    if not placed:
        return tuple(Plane(f"across axis {k}", k, *pair) for k, pair in enumerate(((1, 2), (0, 2), (0, 1))))
    return (
        Plane("axial", 2, 0, 1, letters="LRAP"),
        Plane("coronal", 1, 0, 2, letters="LRSI"),
        Plane("sagittal", 0, 1, 2, letters="PASI"),
    )


def slice_of(volume: np.ndarray, plane: Plane, index: int | None = None) -> np.ndarray:
    """One slice as it lies on the screen.

    Args:
        volume: `[*spatial]` or `[*spatial, channels]`.
        plane: the plane of the slice; a 2-D image is returned as it is.
        index: number of the slice along `plane.axis`; None for the middle one.

    Returns:
        `[rows, columns]` or `[rows, columns, channels]`.
    """
    if plane.axis is None:
        return volume
    index = volume.shape[plane.axis] // 2 if index is None else index
    # Transposed and flipped, so that the last of the two axes runs upwards as in a viewer.
    return np.swapaxes(np.take(volume, index, axis=plane.axis), 0, 1)[::-1]


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
        InputError: an orientation that does not name each direction once.
    """
    check_orientation(orientation, 3)
    order = [next(k for k, letter in enumerate(orientation) if letter in ends) for ends in RAS_ENDS]
    flipped = tuple(axis for axis, ends in enumerate(RAS_ENDS) if orientation[order[axis]] == ends[0])
    signs = np.where(np.isin(range(3), flipped), -1, 1).astype(displacement.dtype)
    turned = [np.flip(image.transpose(order), flipped) for image in images]
    displacement = signs * np.flip(displacement.transpose(*order, 3), flipped)[..., order]
    return turned, displacement, tuple(spacing[axis] for axis in order)
