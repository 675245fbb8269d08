"""Volumes in files: NIfTI, MGZ and NumPy archives, read with checks and written whole or not at all."""

import dataclasses
import os
import uuid
from pathlib import Path

import nibabel
import numpy as np

NIBABEL_EXTENSIONS = (".nii.gz", ".nii", ".mgz", ".mgh")
EXTENSIONS = (*NIBABEL_EXTENSIONS, ".npz")
IMAGE_KEY, LABELS_KEY = "vol", "seg"
# Of length, by NIfTI's code: name and millimetres.
UNITS = {0: ("unknown", 1.0), 1: ("meter", 1000.0), 2: ("mm", 1.0), 3: ("micron", 0.001)}


class VolumeError(ValueError):
    """A file that cannot serve as the volume that was asked for; the message names it."""


@dataclasses.dataclass(frozen=True)
class Volume:
    """An array and where it came from.

    Attributes:
        array: images float32 `[*spatial, channels]`, labels int32 `[*spatial]`.
        spacing_mm: voxel size for each spatial axis, or None where the file has none.
        source: the nibabel image whose affine and header an output on the same grid takes, or None.
        path: the file.
        spatial_shape: number of voxels along each spatial axis.
    """

    array: np.ndarray
    spacing_mm: tuple | None
    source: object
    path: Path
    spatial_shape: tuple = ()

    def __post_init__(self):
        # Only a label map, a whole number for each voxel, has no axis of channels.
        shape = self.spatial_shape or (self.array.shape if self.array.dtype == "int32" else self.array.shape[:-1])
        object.__setattr__(self, "spatial_shape", shape)


def extension(path) -> str | None:
    """The extension if it is one that we read, else None."""
    name = str(path).lower()
    return next((e for e in EXTENSIONS if name.endswith(e)), None)


def stem(path) -> str:
    """The file name without its extension, `.nii.gz` counting as one."""
    name = Path(path).name
    return name[: -len(extension(path) or "")] or name


def read_image(path, *, multichannel: bool = False) -> Volume:
    """An image in float32, `[*spatial, channels]`, as stored (with the file's own scaling applied).

    Args:
        path: NIfTI, MGZ, or NPZ with the array under `vol`.
        multichannel: the last axis of the file is channels.

    Raises:
        VolumeError: missing, unreadable or truncated file; NaN or infinite voxels; the same value in
            every voxel; other than 2 or 3 spatial axes.
    """
    array, spacing_mm, source = _load(path, IMAGE_KEY)
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
    if array.min() == array.max():
        raise VolumeError(f"{path}: every voxel is {array.flat[0]:g}; a constant image cannot be registered.")
    return Volume(array, spacing_mm and spacing_mm[:spatial], source, Path(path))


def _axes_hint(multichannel):
    if multichannel:
        return ""
    return (
        " A series of volumes is not one image: take one volume out of it, or its mean. If the last axis is channels, "
        "use a network with --multichannel."
    )


def read_labels(path) -> Volume:
    """A label map in int32, `[*spatial]`.

    Args:
        path: NIfTI, MGZ, or NPZ with the array under `seg`.

    Raises:
        VolumeError: missing, unreadable or truncated file; values that are not whole numbers; other than
            2 or 3 axes.
    """
    array, spacing_mm, source = _load(path, LABELS_KEY)
    array = _drop_trailing_ones(array)
    if array.ndim not in (2, 3):
        raise VolumeError(f"{path}: expected a 2-D or 3-D label map, got an array of shape {array.shape}.")
    if array.size and np.abs(array.astype("float64")).max() >= 2**31 and np.isfinite(array).all():
        raise VolumeError(f"{path}: labels are numbers of 32 bits, but this file holds {array.max():g}.")
    with np.errstate(invalid="ignore"):
        labels = np.ascontiguousarray(array).astype("int32")
    if not np.array_equal(labels, array):
        raise VolumeError(f"{path}: labels are whole numbers, but this file holds others. Is it an image?")
    return Volume(labels, spacing_mm and spacing_mm[: array.ndim], source, Path(path))


def check_ids(path, labels):
    """Raise `VolumeError` if a label map holds negative ids, which cannot be told apart by volume or overlap."""
    if labels.size and labels.min() < 0:
        raise VolumeError(f"{path}: label ids are 0 or more, but this map holds {labels.min()}.")


def read_series(path) -> Volume:
    """A volume, or a series of volumes along the fourth axis, in its own type: `[*spatial, number]`.

    Raises:
        VolumeError: missing, unreadable or truncated file; NaN or infinite voxels; other than 2 to 4 axes.
    """
    array, spacing_mm, source = _load(path, IMAGE_KEY)
    array = _drop_trailing_ones(array)
    if array.ndim not in (2, 3, 4):
        raise VolumeError(f"{path}: expected an image or a series of volumes, got an array of shape {array.shape}.")
    array = array if array.ndim == 4 else array[..., None]
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise VolumeError(f"{path}: holds NaN or infinite voxels. Replace them, for example by 0.")
    array = np.ascontiguousarray(array)
    return Volume(array, spacing_mm and spacing_mm[: array.ndim - 1], source, Path(path), array.shape[:-1])


def own_labels(path) -> Path | None:
    """The file itself if it is an NPZ that holds a label map beside its image, else None."""
    return Path(path) if extension(path) == ".npz" and _has_labels(path) else None


def _has_labels(path):
    try:
        with np.load(path, allow_pickle=False) as archive:
            return LABELS_KEY in archive.files
    except Exception:
        return False


def read_header(path, axes: int) -> Volume:
    """What a file says of the first `axes` axes of its volume, without reading its voxels: the array is empty.

    Raises:
        VolumeError: a unit of length that NIfTI does not know.
    """
    empty = np.empty(0, "float32")
    if extension(path) == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return Volume(empty, _spacing_mm(archive), None, Path(path), (1,) * axes)
    image = nibabel.load(path)
    shape = (*image.shape, *[1] * axes)[:axes]
    return Volume(empty, _header_spacing_mm(path, image)[:axes], image, Path(path), shape)


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


def unit_of(header) -> tuple[str, float]:
    """(name, millimetres) of a NIfTI header's unit of length, whatever it says of time.

    Raises:
        VolumeError: a code that NIfTI does not know.
    """
    code = int(header["xyzt_units"]) % 8
    if code not in UNITS:
        names = ", ".join(f"{number} ({name})" for number, (name, _) in UNITS.items())
        raise VolumeError(f"its header's unit of length has code {code}; expected one of {names}.")
    return UNITS[code]


def _header_spacing_mm(path, image):
    sizes = image.header.get_zooms()[:3]
    try:
        mm_per_unit = unit_of(image.header)[1] if isinstance(image, nibabel.Nifti1Image) else 1.0
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from None
    return tuple(float(size) * mm_per_unit for size in sizes)


def _load(path, key):
    path = Path(path)
    if not path.is_file():
        raise VolumeError(f"{path}: there is no such file.")
    if extension(path) is None:
        raise VolumeError(f"{path}: not a format that can be read; use one of {', '.join(EXTENSIONS)}.")
    try:
        if extension(path) == ".npz":
            return _load_npz(path, key)
        image = nibabel.load(path)
        array = np.asanyarray(image.dataobj)
        spacing_mm = _header_spacing_mm(path, image)
    except VolumeError:
        raise
    except Exception as error:
        raise VolumeError(
            f"{path}: cannot be read ({type(error).__name__}: {error}). The file may be truncated or damaged; copy it "
            "again."
        ) from error
    if array.dtype.kind not in "buif":
        raise VolumeError(f"{path}: voxels are of type {array.dtype}; numbers are needed (no colour or complex data).")
    return array, spacing_mm, image


def _load_npz(path, key):
    with np.load(path, allow_pickle=False) as archive:
        if key not in archive.files:
            raise VolumeError(f"{path}: has no array {key!r}; it holds {', '.join(archive.files) or 'nothing'}.")
        try:
            array = archive[key]
        except SystemError:
            # Python 3.11 now and then miscounts its recursion while several threads parse headers.
            array = archive[key]
        spacing_mm = _spacing_mm(archive)
    if array.dtype.kind not in "buif":
        raise VolumeError(f"{path}: {key!r} is of type {array.dtype}; numbers are needed.")
    return array, spacing_mm, None


def _spacing_mm(archive):
    return tuple(np.atleast_1d(archive["spacing_mm"]).astype(float).tolist()) if "spacing_mm" in archive.files else None


def _drop_trailing_ones(array):
    """NIfTI writes a slice as [X, Y, 1] and a single volume sometimes as [X, Y, Z, 1]."""
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


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


def check_output_dir(directory):
    """Make a folder; raise `VolumeError` unless files can be written in it."""
    probe = Path(directory) / f".writing-{uuid.uuid4().hex}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise VolumeError(f"{directory}: cannot be written ({error}). Choose another place.") from error


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


def replace_atomically(path, save):
    """Call `save(temporary)` and rename the temporary file to `path`, so that no half file is ever seen.

    Raises:
        VolumeError: if the folder or the disk does not take the file.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because writers choose the format by it.
        temporary = str(path.parent / f".writing-{uuid.uuid4().hex}{extension(path) or path.suffix}")
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be written ({error}). What was there before is untouched.") from error
    finally:
        if temporary and os.path.exists(temporary):
            os.remove(temporary)
