"""Volumes written as NIfTI, MGZ or NPZ, whole or not at all."""

from pathlib import Path

import nibabel
import numpy as np

from vxm_tf.files.atomic import check_output_dir, replace_atomically
from vxm_tf.files.errors import VolumeError
from vxm_tf.files.units import unit_of
from vxm_tf.files.volumes import EXTENSIONS, IMAGE_KEY, LABELS_KEY, Volume, extension


def write_volume(path, array, like: Volume | None = None, series: Volume | None = None):
    """Write an array, with the affine and header of `like` where it has them.

    The range of intensities to show is left open, and the time between volumes is that of `series`.

    Args:
        path: where to; its extension chooses the format. NPZ holds the array under `vol`, integers
            under `seg`.
        array: `[*spatial]` or `[*spatial, components]`.
        like: a volume on the same grid.
        series: the series that the array's volumes come from.

    Raises:
        VolumeError: unknown extension, numbers that the format cannot hold, or a place that cannot be written.
    """
    path = Path(path)
    kind = _writable_extension(path)
    array = _storable(path, array, kind)
    if kind == ".npz":
        key = LABELS_KEY if array.dtype.kind in "iu" else IMAGE_KEY
        spacing = {} if like is None or like.spacing_mm is None else {"spacing_mm": np.array(like.spacing_mm)}

        def save(temporary):
            np.savez_compressed(temporary, **{key: array}, **spacing)
    else:

        def save(temporary):
            nibabel.save(_nibabel_image(array, like, kind, series), temporary)

    replace_atomically(path, save)


def _writable_extension(path):
    if extension(path) is None:
        raise VolumeError(f"{path}: not a format that can be written; use one of {', '.join(EXTENSIONS)}.")
    return extension(path)


def check_output(path):
    """Raise `VolumeError` now if `write_volume` could not write there: before long work, not after it."""
    _writable_extension(path)
    check_output_dir(Path(path).parent)


def _storable(path, array, kind):
    """The array in a type that the format has."""
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


def _nibabel_image(array, like, kind, series):
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
    # Of the other image's intensities.
    image.header["cal_min"] = image.header["cal_max"] = 0
    if array.ndim > 3:
        _keep_time(image.header, series)
    return image


def _keep_time(header, series):
    """Write into a header what a series says of the time between its volumes."""
    source = getattr(getattr(series, "source", None), "header", None)
    known = isinstance(source, nibabel.Nifti1Header) and len(source.get_zooms()) > 3
    header.set_zooms((*header.get_zooms()[:3], source.get_zooms()[3] if known else 1.0, *header.get_zooms()[4:]))
    if known:
        header.set_xyzt_units(header.get_xyzt_units()[0], source.get_xyzt_units()[1])
