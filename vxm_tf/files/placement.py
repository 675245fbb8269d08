"""What a file says of its voxels without their values: size, place and orientation."""

from pathlib import Path

import nibabel
import numpy as np

from vxm_tf.files.units import header_spacing_mm
from vxm_tf.files.volumes import Volume, extension, npz_spacing_mm


def read_header(path, axes: int) -> Volume:
    """What a file says of the first `axes` axes of its volume, without reading its voxels: the array is empty.

    Raises:
        VolumeError: a unit of length that NIfTI does not know.
    """
    empty = np.empty(0, "float32")
    if extension(path) == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return Volume(empty, npz_spacing_mm(archive), None, Path(path), (1,) * axes)
    image = nibabel.load(path)
    shape = (*image.shape, *[1] * axes)[:axes]
    return Volume(empty, header_spacing_mm(path, image)[:axes], image, Path(path), shape)


def spacing_mm_of(path) -> tuple | None:
    """Voxel size of a file's spatial axes without reading its voxels; None where it has none."""
    return read_header(path, 3).spacing_mm


def orientation_of(path, axes: int) -> str | None:
    """Where a file's first axes point to, such as "LIA", without reading its voxels; None where it does not say."""
    header = read_header(path, axes)
    return "".join(nibabel.aff2axcodes(header.source.affine)[:axes]) if has_place(header) else None


def has_place(volume: Volume) -> bool:
    """Whether a file says where its voxels lie."""
    if not isinstance(volume.source, nibabel.Nifti1Image):
        return volume.source is not None
    return bool(volume.source.header["sform_code"] or volume.source.header["qform_code"])
