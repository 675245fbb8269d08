"""Opening volumes in files, with errors that name the file."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import nibabel
from nibabel.spatialimages import SpatialImage

from vxm_tf.files.errors import VolumeError
from vxm_tf.files.extensions import EXTENSIONS, extension


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """Turn every error raised in the block into a `VolumeError` that names the file.

    Raises:
        VolumeError: missing file, unknown extension, or any error of the block.
    """
    if not Path(path).is_file():
        raise VolumeError(f"{path}: there is no such file.")
    if extension(path) is None:
        raise VolumeError(f"{path}: not a format that can be read; use one of {', '.join(EXTENSIONS)}.")
    try:
        yield
    except VolumeError:
        raise
    except Exception as error:
        raise VolumeError(
            f"{path}: cannot be read ({type(error).__name__}: {error}). The file may be truncated or damaged; copy it "
            "again."
        ) from error


def open_image(path: str | os.PathLike) -> SpatialImage:
    """Open a file as a nibabel image, whose voxels stay in the file until they are used.

    Raises:
        VolumeError: the file holds no volume but, for example, values on a surface (CIFTI).
    """
    image = nibabel.load(path)
    if not isinstance(image, SpatialImage):
        raise VolumeError(f"{path}: holds no volume but a {type(image).__name__}. Give a file of voxels.")
    return image
