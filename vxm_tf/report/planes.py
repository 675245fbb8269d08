"""The planes that a volume is looked at in, the way viewers turn them."""

import dataclasses

import numpy as np


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
