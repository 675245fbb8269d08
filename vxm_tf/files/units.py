"""Voxel sizes in millimetres, from headers in any unit of length."""

import os
from collections.abc import Sequence
from typing import Any

import nibabel
from nibabel.spatialimages import SpatialImage

from vxm_tf.files.errors import VolumeError

# NIfTI's code of a unit of length -> (name, millimetres).
UNITS = {0: ("unknown", 1.0), 1: ("meter", 1000.0), 2: ("mm", 1.0), 3: ("micron", 0.001)}


def unit_of(header: Any) -> tuple[str, float]:
    """The unit of length in a NIfTI header: (its name, its length in millimetres).

    Args:
        header: a `nibabel.Nifti1Header`; its unit of time is ignored.

    Raises:
        VolumeError: a code that NIfTI does not define.
    """
    code = int(header["xyzt_units"]) % 8
    if code not in UNITS:
        names = ", ".join(f"{number} ({name})" for number, (name, _) in UNITS.items())
        raise VolumeError(f"its header's unit of length has code {code}; expected one of {names}.")
    return UNITS[code]


def header_spacing_mm(path: str | os.PathLike, image: SpatialImage) -> tuple[float, ...]:
    """Voxel size along up to three axes of an image that nibabel has opened, in millimetres.

    Args:
        path: the image's file, for messages.
        image: a nibabel image.

    Raises:
        VolumeError: a unit of length that NIfTI does not define.
    """
    sizes = image.header.get_zooms()[:3]
    try:
        mm_per_unit = unit_of(image.header)[1] if isinstance(image, nibabel.Nifti1Image) else 1.0
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from None
    return tuple(float(size) * mm_per_unit for size in sizes)


def spacing_of_axes(spacing_mm: Sequence[float], ndim: int) -> tuple[float, ...]:
    """Voxel size for each axis, from one size for all axes or one for each.

    Args:
        spacing_mm: one size, which is taken for all `ndim` axes, or one for each axis, which is returned as it is.
        ndim: number of axes.
    """
    return tuple(spacing_mm) * ndim if len(spacing_mm) == 1 else tuple(spacing_mm)
