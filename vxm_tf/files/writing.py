"""Volumes written as NIfTI, MGZ or NPZ, whole or not at all."""

import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import SpatialImage

from vxm_tf.files.atomic import check_output_file, replace_atomically
from vxm_tf.files.errors import VolumeError
from vxm_tf.files.extensions import EXTENSIONS, extension
from vxm_tf.files.units import unit_of
from vxm_tf.files.volumes import IMAGE_KEY, LABELS_KEY, Volume


def write_volume(
    path: str | os.PathLike, array: np.ndarray, like: Volume | None = None, series: Volume | None = None
) -> None:
    """Write an array, with the affine and header of `like` if it has them.

    The header's display range (`cal_min`, `cal_max`) is left unset, since it belongs to the intensities of `like`.

    Args:
        path: the file to write; its extension chooses the format. NPZ holds the array under `vol`, integers
            under `seg`.
        array: `[*spatial]` or `[*spatial, components]`.
        like: a volume on the same grid.
        series: the series that the array's volumes come from, whose time step the file takes.

    Raises:
        VolumeError: unknown extension, or numbers that the format cannot hold.
        InputError: a path that cannot be written.
    """
    path = Path(path)
    kind = _writable_extension(path)
    array = _storable(path, array, kind)
    if kind == ".npz":
        arrays: dict[str, Any] = {LABELS_KEY if array.dtype.kind in "iu" else IMAGE_KEY: array}
        if like is not None and like.spacing_mm is not None:
            arrays["spacing_mm"] = np.array(like.spacing_mm)

        def save(temporary: str) -> None:
            np.savez_compressed(temporary, **arrays)
    else:

        def save(temporary: str) -> None:
            nibabel.save(_nibabel_image(array, like, kind, series), temporary)

    replace_atomically(path, save)


def _writable_extension(path: str | os.PathLike) -> str:
    kind = extension(path)
    if kind is None:
        raise VolumeError(f"{path}: not a format that can be written; use one of {', '.join(EXTENSIONS)}.")
    return kind


def check_output(path: str | os.PathLike) -> None:
    """Raise an error before long work, rather than after it, if `write_volume` cannot write to `path`.

    Raises:
        VolumeError: unknown extension.
        InputError: a folder that cannot be written.
    """
    _writable_extension(path)
    check_output_file(path)


def _storable(path: str | os.PathLike, array: np.ndarray, kind: str) -> np.ndarray:
    """The array in a type that the format can store."""
    array, mgh = np.asarray(array), kind in (".mgz", ".mgh")
    if array.dtype.kind == "b":
        return array.astype("uint8")
    if array.dtype.kind == "f" and (mgh or array.dtype.itemsize < 4):
        return array.astype("float32")
    if not mgh or array.dtype in ("uint8", "int16", "int32"):
        return array
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise VolumeError(f"{path}: MGZ holds whole numbers of 32 bits, and these reach {array.max()}. Write NIfTI.")
    return array.astype("int32")


def _nibabel_image(array: np.ndarray, like: Volume | None, kind: str, series: Volume | None) -> SpatialImage:
    affine, header = np.eye(4), None
    if like is not None and like.source is not None:
        affine, header = like.source.affine, like.source.header
    elif like is not None and like.spacing_mm:
        affine = np.diag([*like.spacing_mm, *[1.0] * (4 - len(like.spacing_mm))])
    header = header if isinstance(header, nibabel.Nifti1Header) else None
    if kind in (".mgz", ".mgh"):
        mm_per_unit = unit_of(header)[1] if header else 1.0
        return nibabel.MGHImage(array, np.diag([*[mm_per_unit] * 3, 1.0]) @ affine)
    image = nibabel.Nifti1Image(array, affine, header, dtype=array.dtype)
    # The display range in the header fits the intensities of `like`, not those of the array.
    image.header["cal_min"] = image.header["cal_max"] = 0
    if array.ndim > 3:
        _keep_time(image.header, series)
    return image


def _keep_time(header: nibabel.Nifti1Header, series: Volume | None) -> None:
    """Write the time step of a series and its unit into a header; an unknown time step becomes 1."""
    source = getattr(getattr(series, "source", None), "header", None)
    timed = source if isinstance(source, nibabel.Nifti1Header) and len(source.get_zooms()) > 3 else None
    step = timed.get_zooms()[3] if timed else 1.0
    header.set_zooms((*header.get_zooms()[:3], step, *header.get_zooms()[4:]))
    if timed:
        header.set_xyzt_units(header.get_xyzt_units()[0], timed.get_xyzt_units()[1])
