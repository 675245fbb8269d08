"""Volumes written as NIfTI, MGZ, NRRD, MetaImage or NPZ, whole or not at all."""

import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import SpatialImage

from vxm_tf.files.atomic import check_output_file, replace_atomically
from vxm_tf.files.errors import VolumeError
from vxm_tf.files.extensions import ITK_EXTENSIONS, WRITTEN_EXTENSIONS, extension
from vxm_tf.files.itk_images import simpleitk, write_itk_image
from vxm_tf.files.series_time import set_time, time_of
from vxm_tf.files.units import unit_of
from vxm_tf.files.volumes import IMAGE_KEY, LABELS_KEY, Volume

_MGH = (".mgz", ".mgh")
# What places voxels in a NIfTI header, besides the voxel sizes.
_PLACE_FIELDS = (
    "sform_code", "srow_x", "srow_y", "srow_z",
    "qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units",
)  # fmt: skip


def write_volume(
    path: str | os.PathLike, array: np.ndarray, like: Volume | None = None, series: Volume | None = None
) -> None:
    """Write an array in the place of `like`, if it has one.

    The file takes affine, codes and units of `like`, and nothing else: its intent, slice order, description and display
    range belong to its own voxels. A series also takes time step, unit and time of the first volume of `series`.

    Args:
        path: the file to write; its extension chooses the format. NPZ holds the array under `vol`, integers
            under `seg`.
        array: `[*spatial]` or `[*spatial, components]`.
        like: a volume on the same grid.
        series: the series that the array's volumes come from, whose time axis the file takes.

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
    elif kind in ITK_EXTENSIONS:
        time = time_of(series.source) if series is not None else None
        step = ((time and time.seconds) or 1.0) if series is not None and array.ndim > 3 else None

        def save(temporary: str) -> None:
            write_itk_image(temporary, array, _affine_mm(like), step=step)
    else:

        def save(temporary: str) -> None:
            nibabel.save(_nibabel_image(array, like, kind, series), temporary)

    replace_atomically(path, save)


def _writable_extension(path: str | os.PathLike) -> str:
    kind = extension(path)
    if kind not in WRITTEN_EXTENSIONS:
        two = " (a pair of files is read, but not written)" if kind else ""
        raise VolumeError(f"{path}: not a format that can be written{two}; use one of {', '.join(WRITTEN_EXTENSIONS)}.")
    if kind in ITK_EXTENSIONS:
        simpleitk(path)
    return kind


def check_output(path: str | os.PathLike) -> None:
    """Raise an error before long work, rather than after it, if `write_volume` cannot write to `path`.

    Raises:
        VolumeError: unknown extension, or a format whose package is missing.
        InputError: a folder that cannot be written.
    """
    _writable_extension(path)
    check_output_file(path)


def _storable(path: str | os.PathLike, array: np.ndarray, kind: str) -> np.ndarray:
    """The array in a type that the format can store."""
    array, mgh = np.asarray(array), kind in _MGH
    if array.dtype.kind == "b":
        return array.astype("uint8")
    if array.dtype.kind == "f" and (mgh or array.dtype.itemsize < 4):
        return array.astype("float32")
    if not mgh or array.dtype in ("uint8", "int16", "int32"):
        return array
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise VolumeError(f"{path}: MGZ holds whole numbers of 32 bits, and these reach {array.max()}. Write NIfTI.")
    return array.astype("int32")


def _affine_mm(like: Volume | None) -> np.ndarray:
    """The affine `[4, 4]` from voxel indices to millimetres."""
    if like is not None and like.source is not None:
        header = like.source.header
        mm_per_unit = unit_of(header)[1] if isinstance(header, nibabel.Nifti1Header) else 1.0
        return np.diag([*[mm_per_unit] * 3, 1.0]) @ like.source.affine
    spacing = like.spacing_mm if like is not None and like.spacing_mm else (1.0, 1.0, 1.0)
    return np.diag([*spacing, *[1.0] * (4 - len(spacing))])


def _nibabel_image(array: np.ndarray, like: Volume | None, kind: str, series: Volume | None) -> SpatialImage:
    source = like.source if like is not None else None
    image: nibabel.Nifti1Image | nibabel.MGHImage
    if kind in _MGH:
        image = nibabel.MGHImage(array, _affine_mm(like))
    elif source is not None and isinstance(source.header, nibabel.Nifti1Header):
        image = nibabel.Nifti1Image(array, source.affine, _placing(source.header), dtype=array.dtype)
    else:
        image = nibabel.Nifti1Image(array, _affine_mm(like), dtype=array.dtype)
        image.header.set_xyzt_units("mm")
    if array.ndim > 3:
        set_time(image, time_of(series.source) if series else None)
    return image


def _placing(header: nibabel.Nifti1Header) -> nibabel.Nifti1Header:
    """A header that holds only what says where voxels lie: intent, slice order and the like belong to the old image."""
    placing = nibabel.Nifti1Header()
    for field in _PLACE_FIELDS:
        placing[field] = header[field]
    placing["pixdim"][:4] = header["pixdim"][:4]
    return placing
