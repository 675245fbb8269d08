"""Displacement fields in NIfTI files, for the formats of ITK, FSL and AFNI."""

import os

import nibabel
import numpy as np

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import Grid

# Intent codes: NIfTI's for vectors and displacements, then FSL's.
VECTOR, DISPLACEMENT_VECTOR = 1007, 1006
FSL_DISPLACEMENT = 2006
FSL_COEFFICIENTS = (2007, 2008, 2009, 2016, 2017)


def read_intent(path: str | os.PathLike) -> int:
    """The intent code of a NIfTI file.

    Raises:
        InputError: a file of another format.
    """
    return int(_open(path).header["intent_code"])


def _open(path: str | os.PathLike) -> nibabel.Nifti1Image:
    image = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Image):
        raise InputError(f"expected a NIfTI file; this is a {type(image).__name__}.")
    return image


def read_vectors(path: str | os.PathLike, shapes: str) -> tuple[np.ndarray, Grid, int]:
    """Read the vectors in a NIfTI file, `[*spatial, ndim]`, and their grid.

    Args:
        path: the file.
        shapes: expected shape: "5-D" for `[X, Y, Z, 1, 3]` or `[X, Y, 1, 1, 2]`, "4-D" for `[X, Y, Z, 3]`.

    Returns:
        (vectors, grid, intent code). The vectors are float32 or float64, in the file's own units and axes.

    Raises:
        InputError: another shape, values that are not numbers, or a plane that is not axial.
    """
    image = _open(path)
    intent = int(image.header["intent_code"])
    shape = image.shape
    fits_5d = len(shape) == 5 and shape[3] == 1 and shape[4] in (2, 3) and (shape[4] == 3 or shape[2] == 1)
    fits = fits_5d if shapes == "5-D" else len(shape) == 4 and shape[3] == 3
    if not fits:
        wanted = "[X, Y, Z, 1, 3] or, in 2-D, [X, Y, 1, 1, 2]" if shapes == "5-D" else "[X, Y, Z, 3]"
        raise InputError(f"expected a displacement field of shape {wanted}; got {tuple(shape)}.")
    vectors = np.asanyarray(image.dataobj)
    if vectors.dtype.kind not in "iuf":
        raise InputError(f"a displacement is a number; the file holds values of type {vectors.dtype}.")
    if vectors.dtype not in ("float32", "float64"):
        vectors = vectors.astype("float32")
    vectors = vectors.reshape(*shape[: shape[-1]], shape[-1])
    return vectors, Grid(vectors.shape[:-1], _grid_affine(image.affine, shape[-1])), intent


def _grid_affine(affine: np.ndarray, ndim: int) -> np.ndarray:
    if ndim == 3:
        return affine
    if np.abs(affine[2, :2]).max() > 1e-3 * np.linalg.norm(affine[:2, :2]):
        raise InputError("a 2-D field lies in an axial plane (axes R and A); this one's plane is another.")
    return np.block([[affine[:2, :2], affine[:2, 3:]], [np.zeros((1, 2)), np.ones((1, 1))]])


def write_vectors(path: str | os.PathLike, vectors: np.ndarray, grid: Grid, shapes: str, intent: int) -> None:
    """Write vectors to a NIfTI file, as float32, whole or not at all.

    Args:
        path: the file to write.
        vectors: `[*grid.shape, ndim]`, in the units and axes of the format.
        grid: grid of the vectors.
        shapes: shape in the file, see `read_vectors`.
        intent: intent code.

    Raises:
        InputError: a sheared grid, or a path that cannot be written.
    """
    check_not_sheared(path, grid, "a NIfTI header that ITK, FSL and AFNI agree on")
    shape = (*grid.shape, *[1] * (4 - grid.ndim), grid.ndim) if shapes == "5-D" else vectors.shape
    affine = np.eye(4)
    affine[: grid.ndim, : grid.ndim], affine[: grid.ndim, 3] = grid.affine[:-1, :-1], grid.affine[:-1, -1]
    image = nibabel.Nifti1Image(np.asarray(vectors, "float32").reshape(shape), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header["intent_code"] = intent
    image.header.set_xyzt_units("mm")
    replace_atomically(path, lambda temporary: nibabel.save(image, temporary))


def check_not_sheared(path: str | os.PathLike, grid: Grid, where: str) -> None:
    """Raise `InputError` if the axes of a grid are not at right angles.

    Args:
        path: the file to write, for messages.
        grid: the grid.
        where: name, in messages, of the header that cannot hold shear.
    """
    axes = grid.affine[:-1, :-1] / np.array(grid.spacing_mm)
    if np.abs(axes.T @ axes - np.eye(grid.ndim)).max() > 1e-4:
        raise InputError(
            f"{path}: the axes of the fixed image are not at right angles, and {where} cannot hold that. Write .h5 or "
            ".x5 instead, or resample the image to a grid without shear."
        )
