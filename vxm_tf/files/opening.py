"""Opening volumes in files, with errors that name the file."""

import contextlib
import gzip
import os
from collections.abc import Iterator
from io import IOBase
from pathlib import Path

import nibabel
from nibabel.analyze import AnalyzeImage
from nibabel.filebasedimages import FileBasedImage
from nibabel.fileholders import FileHolder
from nibabel.spatialimages import SpatialImage

from vxm_tf.files import itk_images
from vxm_tf.files.diagnosis import absence, failure
from vxm_tf.files.errors import VolumeError
from vxm_tf.files.extensions import EXTENSIONS, ITK_EXTENSIONS, PAIR_EXTENSIONS, extension, pair_partner, stem

ANALYZE = "analyze"
"""Key in the `extra` of an image that `open_image` opened: whether it is an Analyze file without orientation."""
# A NIfTI-2 file begins with the size of its header, in either byte order.
_NIFTI2_SIZES = ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))
_GZIP = b"\x1f\x8b"


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """Turn every error raised in the block into a `VolumeError` that names the file.

    Raises:
        VolumeError: missing file, unknown extension, or any error of the block.
    """
    if not Path(path).is_file():
        raise VolumeError(f"{path}: {absence(path)}")
    if extension(path) is None:
        raise VolumeError(f"{path}: not a format that can be read; use one of {', '.join(EXTENSIONS)}.")
    try:
        yield
    except VolumeError:
        raise
    except Exception as error:
        raise VolumeError(f"{path}: {failure(path, error)}") from error


def open_image(path: str | os.PathLike) -> SpatialImage:
    """Open a file as a nibabel image, whose voxels stay in the file until they are used.

    A pair of `.hdr` and `.img`, an NRRD and a MetaImage come as NIfTI images in memory. An Analyze file, which stores
    no orientation, comes without sform and qform.

    Raises:
        VolumeError: the file holds no volume but, for example, values on a surface (CIFTI); a part of it is missing.
    """
    kind = extension(path)
    if kind in ITK_EXTENSIONS:
        return itk_images.open_itk(path)
    if kind in PAIR_EXTENSIONS:
        return _open_pair(path)
    image = _open_by_content(path)
    if not isinstance(image, SpatialImage):
        raise VolumeError(f"{path}: holds no volume but a {type(image).__name__}. Give a file of voxels.")
    return image


def _open_by_content(path: str | os.PathLike) -> FileBasedImage:
    """Open NIfTI or MGH, compressed or not whatever the name says: `gunzip -c` and downloads leave wrong names."""
    with open(path, "rb") as file:
        start = file.read(4)
    zipped, named_zipped = start.startswith(_GZIP), extension(path) in (".nii.gz", ".mgz")
    if zipped == named_zipped:
        return nibabel.load(path)
    stream: IOBase = gzip.open(path) if zipped else open(path, "rb")
    size = stream.read(4)
    stream.seek(0)
    nifti = nibabel.Nifti2Image if size in _NIFTI2_SIZES else nibabel.Nifti1Image
    kind: type[SpatialImage] = nibabel.MGHImage if extension(path) in (".mgz", ".mgh") else nifti
    return kind.from_file_map({"image": FileHolder(fileobj=stream)})


def _open_pair(path: str | os.PathLike) -> nibabel.Nifti1Image:
    """A pair of files, NIfTI or Analyze, as a NIfTI image, whose voxels stay in the file."""
    if not pair_partner(path).is_file():
        raise VolumeError(
            f"{path}: one volume lies in two files here, and {pair_partner(path).name} is missing beside it. Copy both."
        )
    image = nibabel.load(path)
    if isinstance(image, nibabel.Nifti1Pair):
        return nibabel.Nifti1Image(image.dataobj, image.affine, image.header)
    if not isinstance(image, AnalyzeImage):
        raise VolumeError(f"{path}: holds no volume but a {type(image).__name__}. Give a file of voxels.")
    # SPM writes the position of an Analyze file beside it.
    placed = Path(path).with_name(f"{stem(path)}.mat").is_file()
    opened = nibabel.Nifti1Image(image.dataobj, image.affine, extra={ANALYZE: not placed})
    if not placed:
        opened.header["sform_code"] = opened.header["qform_code"] = 0
    return opened
