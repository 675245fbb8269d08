"""NRRD and MetaImage files (`.nrrd`, `.nhdr`, `.mha`, `.mhd`), through SimpleITK.

SimpleITK places voxels in LPS millimetres whatever the axes of the file; here they become RAS, as in NIfTI.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from vxm_tf.files.errors import VolumeError

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Words of a header that place the image: NRRD's, then those that MetaImage has had for one matrix and one position.
_PLACES = {
    "nrrd": (r"^space( dimension)?:", r"^space directions:"),
    "meta": (r"^(TransformMatrix|Orientation|Rotation|Offset|Origin|Position)\s*=",),
}
_DATA_FILE = re.compile(r"^(?:ElementDataFile\s*=|data ?file:)\s*(.+?)\s*$", re.M | re.I)


class _Voxels:
    """The voxels of a file, `[x, y, z, ...]`, read when NumPy asks for them."""

    is_proxy = True

    def __init__(self, path: str | os.PathLike, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path, self.shape, self.dtype, self.ndim = path, shape, dtype, len(shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        sitk = simpleitk(self.path)
        image = sitk.ReadImage(os.fspath(self.path))
        array = np.asarray(sitk.GetArrayFromImage(image))
        space, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel() > 1
        axes = [*range(space - 1, -1, -1), *([space] if components else [])]
        return np.ascontiguousarray(np.transpose(array, axes).reshape(self.shape), dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self)[key]


def simpleitk(path: str | os.PathLike) -> Any:
    """The module SimpleITK.

    Args:
        path: the file that needs it, for messages.

    Raises:
        VolumeError: SimpleITK is not installed.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise VolumeError(
            f"{path}: NRRD and MetaImage files need SimpleITK. Install it with: pip install 'vxm-tf[formats]'"
        ) from error
    return SimpleITK


def open_itk(path: str | os.PathLike) -> nibabel.Nifti1Image:
    """A file as a NIfTI image whose voxels stay in the file until they are used.

    Pixels with several components, such as colours or vectors, become a last axis. An image whose header holds no
    position comes without sform and qform. The step of a fourth axis is kept, in a unit that the files do not state.

    Raises:
        VolumeError: SimpleITK or the data file is missing; a 2-D image with several components; a fourth axis that is
            turned into space; complex pixels.
        RuntimeError: a file that SimpleITK cannot read.
    """
    sitk = simpleitk(path)
    header = _header(path)
    _check_data_file(path, header)
    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    reader.ReadImageInformation()
    space, components = reader.GetDimension(), reader.GetNumberOfComponents()
    shape = tuple(int(size) for size in reader.GetSize())
    if space not in (2, 3, 4):
        raise VolumeError(f"{path}: has {space} axes; images have 2 or 3, and series 4.")
    if components > 1:
        if space != 3:
            raise VolumeError(
                f"{path}: is a {space}-D image with {components} values in each pixel, such as colours. Store one "
                "value for each pixel."
            )
        shape = (*shape, components)
    voxels = _Voxels(path, shape, _dtype(path, sitk, reader))
    affine = _affine(path, reader.GetDirection(), reader.GetSpacing(), reader.GetOrigin())
    image = nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    if space == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], abs(reader.GetSpacing()[3])))
    if not _has_place(header):
        image.header["sform_code"] = image.header["qform_code"] = 0
    return image


def write_itk_image(
    path: str | os.PathLike, array: np.ndarray, affine: np.ndarray, *, step: float | None = None
) -> None:
    """Write an array as NRRD or MetaImage, compressed.

    Args:
        path: the file to write, `.nrrd` or `.mha`.
        array: `[x, y]`, `[x, y, z]`, or `[x, y, z, n]`.
        affine: `[4, 4]`, voxel indices to RAS millimetres, without shear.
        step: time step of a series of n volumes, in seconds; None for pixels with n components.

    Raises:
        VolumeError: SimpleITK is missing; axes that are not at right angles.
    """
    sitk = simpleitk(path)
    lps = _LPS_TO_RAS @ affine
    space = 4 if step is not None else min(array.ndim, 3)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise VolumeError(f"{path}: the image's axes are not at right angles, which this format cannot hold.")
    if space == 2 and np.abs(direction[:2, :2].T @ direction[:2, :2] - np.eye(2)).max() > 1e-4:
        raise VolumeError(f"{path}: a 2-D image of this format lies in an axial plane, and this one does not.")
    whole = np.eye(4)
    whole[:3, :3] = direction
    components = array.ndim > space
    axes = [*range(space - 1, -1, -1), *([space] if components else [])]
    # SimpleITK takes the machine's byte order alone.
    values = np.ascontiguousarray(np.transpose(array, axes), array.dtype.newbyteorder("="))
    image = sitk.GetImageFromArray(values, isVector=components)
    image.SetSpacing([float(size) for size in (*spacing, step or 1.0)[:space]])
    image.SetOrigin([float(x) for x in (*lps[:3, 3], 0.0)[:space]])
    image.SetDirection(whole[:space, :space].ravel().tolist())
    sitk.WriteImage(image, os.fspath(path), True)


def _affine(
    path: str | os.PathLike, direction: Sequence[float], spacing: Sequence[float], origin: Sequence[float]
) -> np.ndarray:
    space = len(spacing)
    turned = np.array(direction).reshape(space, space)
    if space == 4 and (np.abs(turned[3, :3]).max() > 1e-6 or np.abs(turned[:3, 3]).max() > 1e-6):
        raise VolumeError(f"{path}: its fourth axis is turned into space, so it is no series of volumes.")
    affine, n = np.eye(4), min(space, 3)
    affine[:n, :n] = (turned * spacing)[:n, :n]
    affine[:n, 3] = origin[:n]
    return _LPS_TO_RAS @ affine


def _dtype(path: str | os.PathLike, sitk: Any, reader: Any) -> np.dtype:
    """The dtype of the pixels."""
    name = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    found = re.search(r"(8|16|32|64)-bit (unsigned|signed)|(32|64)-bit float", name)
    if "complex" in name or found is None:
        raise VolumeError(f"{path}: voxels are of type {name}; real numbers are needed.")
    if found[3]:
        return np.dtype(f"float{found[3]}")
    return np.dtype(f"{'u' if found[2] == 'unsigned' else ''}int{found[1]}")


def _header(path: str | os.PathLike) -> str:
    """The text before the voxels."""
    with open(path, "rb") as stream:
        start = stream.read(2**16)
    return re.split(rb"\r?\n\r?\n|ElementDataFile\s*=\s*LOCAL", start)[0].decode("latin-1")


def _has_place(header: str) -> bool:
    words = _PLACES["nrrd" if header.startswith("NRRD") else "meta"]
    return all(re.search(word, header, re.M | re.I) for word in words)


def _check_data_file(path: str | os.PathLike, header: str) -> None:
    """Raise `VolumeError` if a header names one file of voxels that is not there."""
    named = _DATA_FILE.search(header)
    # LIST is followed by names; a pattern has %d in it.
    if named is None or named[1].split()[0].upper() in ("LOCAL", "LIST") or "%" in named[1]:
        return
    if not (Path(path).parent / named[1]).is_file():
        raise VolumeError(
            f"{path}: is a header whose voxels lie in {named[1]}, and that file is missing beside it. Copy both."
        )
