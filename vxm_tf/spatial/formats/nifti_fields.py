"""Fields of vectors in NIfTI files, for the formats of ITK, FSL, AFNI, NiftyReg and SPM."""

import dataclasses
import os

import nibabel
import numpy as np

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.files.opening import open_image
from vxm_tf.files.units import unit_of
from vxm_tf.spatial.grid import Grid

# Intent codes: NIfTI's for vectors and displacements, then FSL's.
VECTOR, DISPLACEMENT_VECTOR = 1007, 1006
FSL_DISPLACEMENT = 2006
FSL_COEFFICIENTS = (2007, 2008, 2009, 2016, 2017)
# Names of intents by which NiftyReg and SPM mark their fields.
NIFTYREG_NAME, SPM_NAME = "NREG_TRANS", "Mapping"
# Vectors whose spread falls below this part of it when the positions of their voxels are taken off are positions.
_POSITION_RATIO = 0.4


@dataclasses.dataclass(frozen=True, eq=False)
class FieldFile:
    """The vectors in a NIfTI file, and what its header says of them.

    Attributes:
        vectors: `[*grid.shape, ndim]`, float32 or float64, in the file's own units and axes.
        grid: grid of the vectors, in RAS millimetres.
        intent: intent code.
        intent_p1: first parameter of the intent.
        mm_per_unit: millimetres in the header's unit of length.
    """

    vectors: np.ndarray
    grid: Grid
    intent: int
    intent_p1: float
    mm_per_unit: float


def signature(path: str | os.PathLike) -> tuple[int, str]:
    """The (intent code, intent name) of a NIfTI file.

    Raises:
        InputError: a file of another format.
    """
    return _signature(_open(path))


def _signature(image: nibabel.Nifti1Image) -> tuple[int, str]:
    name = bytes(image.header["intent_name"].item()).decode("latin-1").strip("\0 ")
    return int(image.header["intent_code"]), name


def _open(path: str | os.PathLike) -> nibabel.Nifti1Image:
    image = open_image(path)
    if not isinstance(image, nibabel.Nifti1Image):
        raise InputError(f"expected a NIfTI file; this is a {type(image).__name__}.")
    return image


def read_vectors(path: str | os.PathLike, shapes: str) -> FieldFile:
    """Read the vectors in a NIfTI file and their grid.

    Args:
        path: the file.
        shapes: expected shape: "5-D" for `[X, Y, Z, 1, 3]` or `[X, Y, 1, 1, 2]`, "4-D" for `[X, Y, Z, 3]`.

    Raises:
        InputError: another shape, values that are not numbers, a plane that is not axial, or an unknown unit.
    """
    image = _open(path)
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
    mm_per_unit = unit_of(image.header)[1]
    affine = np.diag([*[mm_per_unit] * 3, 1.0]) @ image.affine
    grid = Grid(vectors.shape[:-1], _grid_affine(affine, shape[-1]))
    return FieldFile(vectors, grid, int(image.header["intent_code"]), float(image.header["intent_p1"]), mm_per_unit)


def check_displacements(path: str | os.PathLike, field: FieldFile) -> None:
    """Raise `InputError` if a file that should hold displacements is another tool's, or holds positions.

    Args:
        path: the file, whose intent's name tells other tools apart.
        field: the file's vectors. They are taken for positions if they vary much less without the positions of their
            own voxels, in RAS or in LPS.

    Raises:
        InputError: a field of NiftyReg or SPM, a velocity field, or a field of positions.
    """
    _, name = signature(path)
    tool = {NIFTYREG_NAME: "niftyreg", SPM_NAME: "spm"}.get(name)
    if tool:
        raise InputError(f"its intent's name is {name!r}, so it is a field of another tool. Its format is {tool}.")
    if "vel" in name.lower():
        raise InputError(
            f"its intent's name is {name!r}: it holds velocities. Integrate them in the tool that wrote it."
        )
    thinned = tuple(slice(None, None, 1 + size // 40) for size in field.grid.shape)
    indices = np.meshgrid(*(np.arange(size)[s] for size, s in zip(field.grid.shape, thinned)), indexing="ij")
    points, vectors = field.grid.to_world(np.stack(indices, -1)), field.vectors[thinned]
    turn = np.array([-1.0, -1.0, 1.0])[: points.shape[-1]]
    axes = tuple(range(points.ndim - 1))
    least = min(np.linalg.norm((vectors - points * sign).std(axis=axes)) for sign in (1.0, turn))
    if least < _POSITION_RATIO * np.linalg.norm(vectors.std(axis=axes)):
        raise InputError(
            "its vectors are close to the positions of its own voxels, so it holds positions, not displacements. If "
            "they are in RAS millimetres, as NiftyReg and SPM store them, its format is spm."
        )


def _grid_affine(affine: np.ndarray, ndim: int) -> np.ndarray:
    if ndim == 3:
        return affine
    if np.abs(affine[2, :2]).max() > 1e-3 * np.linalg.norm(affine[:2, :2]):
        raise InputError("a 2-D field lies in an axial plane (axes R and A); this one's plane is another.")
    return np.block([[affine[:2, :2], affine[:2, 3:]], [np.zeros((1, 2)), np.ones((1, 1))]])


def write_vectors(
    path: str | os.PathLike,
    vectors: np.ndarray,
    grid: Grid,
    shapes: str,
    intent: int,
    *,
    name: str = "",
    intent_p1: float = 0.0,
) -> None:
    """Write vectors to a NIfTI file, as float32, whole or not at all.

    Args:
        path: the file to write.
        vectors: `[*grid.shape, ndim]`, in the units and axes of the format.
        grid: grid of the vectors.
        shapes: shape in the file, see `read_vectors`.
        intent: intent code.
        name: name of the intent, by which some tools know their files.
        intent_p1: first parameter of the intent.

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
    image.header["intent_code"], image.header["intent_name"], image.header["intent_p1"] = intent, name, intent_p1
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
