"""Volumes in files: NIfTI, Analyze, MGZ, NRRD, MetaImage and NumPy archives, read with checks."""

import dataclasses
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from nibabel import is_proxy
from nibabel.spatialimages import SpatialImage

from vxm_tf.files.errors import VolumeError
from vxm_tf.files.extensions import extension
from vxm_tf.files.label_ids import whole_numbers
from vxm_tf.files.opening import open_image, reading
from vxm_tf.files.units import header_spacing_mm

IMAGE_KEY, LABELS_KEY = "vol", "seg"

# Voxels as a file stores them, voxel size in millimetres, and the nibabel image that holds the header.
_Stored: TypeAlias = tuple[np.ndarray, tuple[float, ...] | None, SpatialImage | None]


@dataclasses.dataclass(frozen=True)
class Volume:
    """The array in a file, with its voxel size and header.

    Attributes:
        array: images float32 `[*spatial, channels]`, labels int32 or int64 `[*spatial]`.
        spacing_mm: voxel size for each spatial axis, or None if the file stores none.
        source: the nibabel image that supplies the affine and header of outputs on the same grid, or None.
        path: the file.
        spatial_shape: number of voxels along each spatial axis.
    """

    array: np.ndarray
    spacing_mm: tuple[float, ...] | None
    source: SpatialImage | None
    path: Path
    spatial_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # Label maps, the only arrays of this type, have no axis of channels.
        shape = self.spatial_shape or (
            self.array.shape if self.array.dtype in ("int32", "int64") else self.array.shape[:-1]
        )
        object.__setattr__(self, "spatial_shape", shape)


def read_image(path: str | os.PathLike, *, multichannel: bool = False) -> Volume:
    """The image in a file, float32 `[*spatial, channels]`, with the file's own scaling of intensities applied.

    Args:
        path: any of `EXTENSIONS`; an NPZ holds the array under `vol`.
        multichannel: whether the last axis of the file holds channels.

    Raises:
        VolumeError: missing, unreadable or truncated file; NaN or infinite voxels; the same value in
            every voxel; other than 2 or 3 spatial axes.
    """
    return _checked_image(path, _load(path, IMAGE_KEY), multichannel)


def image_in_memory(image: SpatialImage, name: str, *, multichannel: bool = False) -> Volume:
    """A nibabel image, checked and converted as `read_image` does with a file.

    Args:
        image: a nibabel image with its voxels in memory or in its file.
        name: the image's name in messages, which becomes the volume's path.
        multichannel: whether the last axis of the image holds channels.

    Raises:
        VolumeError: see `read_image`.
    """
    volume = _checked_image(name, _in_memory(name, image), multichannel)
    # A copy, so that what the caller does with the voxels afterwards does not reach the volume.
    return volume if is_proxy(image.dataobj) else dataclasses.replace(volume, array=volume.array.copy())


def _checked_image(path: str | os.PathLike, stored: _Stored, multichannel: bool) -> Volume:
    array, spacing_mm, source = stored
    if not multichannel:
        array = _drop_trailing_ones(array)[..., None]
    spatial = array.ndim - 1
    if spatial not in (2, 3):
        raise VolumeError(
            f"{path}: expected a 2-D or 3-D image, got an array of shape {array.shape[:-1]}.{_axes_hint(multichannel)}"
        )
    if not array.size:
        raise VolumeError(f"{path}: holds no voxels; its shape is {array.shape[:-1]}.")
    if 1 in array.shape[:-1]:
        raise VolumeError(
            f"{path}: is one voxel thick along an axis; its shape is {array.shape[:-1]}. A slice is registered as a "
            "2-D image: store it with that axis last, or without it."
        )
    array = np.ascontiguousarray(array, dtype="float32")
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise VolumeError(f"{path}: {bad} of {array.size} voxels are NaN or infinite. Replace them, for example by 0.")
    check_varies(path, array)
    return Volume(array, spacing_mm and spacing_mm[:spatial], source, Path(path))


def check_varies(path: str | os.PathLike, array: np.ndarray) -> None:
    """Raise `VolumeError` if each channel of an image `[*spatial, channels]` has one value in all of its voxels."""
    axes = tuple(range(array.ndim - 1))
    values = array.reshape(-1, array.shape[-1])[0]
    if np.array_equal(array.min(axis=axes), array.max(axis=axes)):
        listed = ", ".join(f"{value:g}" for value in values)
        raise VolumeError(f"{path}: every voxel is {listed}; a constant image cannot be registered.")


def _axes_hint(multichannel: bool) -> str:
    if multichannel:
        return ""
    return (
        " A series of volumes is not one image: take one volume out of it, or its mean. If the last axis is channels, "
        "use a network with --multichannel."
    )


def read_labels(path: str | os.PathLike) -> Volume:
    """The label map in a file, int32 `[*spatial]`, or int64 where an id needs it.

    Ids that a tool stored scaled or in too few digits, such as 2.9999999, are rounded; see `whole_numbers`.

    Args:
        path: any of `EXTENSIONS`; an NPZ holds the array under `seg`.

    Raises:
        VolumeError: missing, unreadable or truncated file; values that are not whole numbers of 64 bits; other than
            2 or 3 axes.
    """
    return _checked_labels(path, _load(path, LABELS_KEY))


def labels_in_memory(image: SpatialImage, name: str) -> Volume:
    """A nibabel label map, checked and converted as `read_labels` does with a file.

    Args:
        image: a nibabel image with its voxels in memory or in its file.
        name: the label map's name in messages, which becomes the volume's path.

    Raises:
        VolumeError: see `read_labels`.
    """
    return _checked_labels(name, _in_memory(name, image))


def _checked_labels(path: str | os.PathLike, stored: _Stored) -> Volume:
    array, spacing_mm, source = stored
    array = _drop_trailing_ones(array)
    if array.ndim not in (2, 3):
        raise VolumeError(f"{path}: expected a 2-D or 3-D label map, got an array of shape {array.shape}.")
    labels = whole_numbers(array, f"{path}: this file")
    return Volume(labels, spacing_mm and spacing_mm[: array.ndim], source, Path(path), labels.shape)


def check_ids(path: str | os.PathLike, labels: np.ndarray) -> None:
    """Raise `VolumeError` if a label map holds negative ids."""
    if labels.size and labels.min() < 0:
        raise VolumeError(f"{path}: label ids are 0 or more, but this map holds {labels.min()}.")


def read_series(path: str | os.PathLike) -> Volume:
    """A volume, or a series of volumes along the fourth axis, in the file's own type: `[*spatial, volumes]`.

    Voxels may be NaN, as statistic maps have them outside the brain.

    Raises:
        VolumeError: missing, unreadable or truncated file; infinite voxels; other than 2 to 4 axes.
    """
    array, spacing_mm, source = _load(path, IMAGE_KEY)
    array = _drop_trailing_ones(array)
    if array.ndim not in (2, 3, 4):
        raise VolumeError(f"{path}: expected an image or a series of volumes, got an array of shape {array.shape}.")
    array = array if array.ndim == 4 else array[..., None]
    if array.dtype.kind == "f" and np.any(np.isinf(array)):
        raise VolumeError(f"{path}: {np.isinf(array).sum()} voxels are infinite. Replace them by numbers, or by NaN.")
    array = np.ascontiguousarray(array)
    return Volume(array, spacing_mm and spacing_mm[: array.ndim - 1], source, Path(path), array.shape[:-1])


def own_labels(path: str | os.PathLike) -> Path | None:
    """The path itself if it is an NPZ with a label map beside its image, else None."""
    return Path(path) if extension(path) == ".npz" and _has_labels(path) else None


def _has_labels(path: str | os.PathLike) -> bool:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return LABELS_KEY in archive.files
    except Exception:
        return False


def _load(path: str | os.PathLike, key: str) -> _Stored:
    with reading(path):
        return _load_npz(path, key) if extension(path) == ".npz" else _from_nibabel(path, open_image(path))


def _in_memory(name: str, image: SpatialImage) -> _Stored:
    try:
        return _from_nibabel(name, image)
    except VolumeError:
        raise
    except Exception as error:
        # Voxels that are read only now, from a file that is gone or damaged.
        raise VolumeError(
            f"{name}: its voxels cannot be read ({type(error).__name__}: {error}). Is its file damaged, or gone?"
        ) from error


def _from_nibabel(path: str | os.PathLike, image: SpatialImage) -> _Stored:
    array = np.asanyarray(image.dataobj)
    if array.dtype.kind not in "buif":
        raise VolumeError(f"{path}: voxels are of type {array.dtype}; numbers are needed (no colour or complex data).")
    return array, header_spacing_mm(path, image), image


def _load_npz(path: str | os.PathLike, key: str) -> _Stored:
    with np.load(path, allow_pickle=False) as archive:
        if key not in archive.files:
            raise VolumeError(f"{path}: has no array {key!r}; it holds {', '.join(archive.files) or 'nothing'}.")
        try:
            array = archive[key]
        except SystemError:
            # Python 3.11 sometimes miscounts its recursion depth while several threads parse headers, so try again.
            array = archive[key]
        spacing_mm = npz_spacing_mm(archive)
    if array.dtype.kind not in "buif":
        raise VolumeError(f"{path}: {key!r} is of type {array.dtype}; numbers are needed.")
    return array, spacing_mm, None


def npz_spacing_mm(archive: Any) -> tuple[float, ...] | None:
    """The voxel size in an open NPZ, in millimetres, or None if it stores none."""
    return tuple(np.atleast_1d(archive["spacing_mm"]).astype(float).tolist()) if "spacing_mm" in archive.files else None


def _drop_trailing_ones(array: np.ndarray) -> np.ndarray:
    # NIfTI stores a slice as [X, Y, 1] and a single volume sometimes as [X, Y, Z, 1].
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    return array
