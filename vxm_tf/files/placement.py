"""Voxel size, position and orientation of a volume, read without its voxel values."""

import os
from pathlib import Path

import nibabel
import numpy as np

from vxm_tf.files.extensions import extension
from vxm_tf.files.opening import open_image, reading
from vxm_tf.files.units import header_spacing_mm
from vxm_tf.files.volumes import Volume, npz_spacing_mm


def read_header(path: str | os.PathLike, axes: int) -> Volume:
    """A volume without its voxels: an empty array with the voxel size and the header of the first `axes` axes.

    Raises:
        VolumeError: missing, unreadable or truncated file, or a unit of length that NIfTI does not define.
    """
    empty = np.empty(0, "float32")
    with reading(path):
        if extension(path) == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return Volume(empty, npz_spacing_mm(archive), None, Path(path), (1,) * axes)
        image = open_image(path)
        shape = (*image.shape, *[1] * axes)[:axes]
        return Volume(empty, header_spacing_mm(path, image)[:axes], image, Path(path), shape)


def spacing_mm_of(path: str | os.PathLike) -> tuple[float, ...] | None:
    """Voxel size of a file's spatial axes in millimetres, without reading its voxels; None where it is not stored.

    Raises:
        VolumeError: see `read_header`.
    """
    return read_header(path, 3).spacing_mm


def orientation_of(path: str | os.PathLike, axes: int) -> str | None:
    """Directions of a file's first axes, such as "LIA", without reading its voxels; None where they are not stored.

    Raises:
        VolumeError: see `read_header`.
    """
    header = read_header(path, axes)
    if header.source is None or not has_place(header):
        return None
    return "".join(nibabel.aff2axcodes(header.source.affine)[:axes])


def has_place(volume: Volume) -> bool:
    """Whether a volume's file stores its position: NPZ never does, NIfTI does if it has an sform or a qform."""
    if not isinstance(volume.source, nibabel.Nifti1Image):
        return volume.source is not None
    return bool(volume.source.header["sform_code"] or volume.source.header["qform_code"])
