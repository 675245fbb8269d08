"""Deformation fields of NiftyReg and SPM: positions in the moving image, in RAS millimetres, at each fixed voxel.

Both tools store five axes with NIfTI's intent "vector", as ITK does for displacements in LPS; the intent's name tells
them apart. NiftyReg's first intent parameter says what the vectors are. Neither tool looks at the header's unit of
length, so vectors are in the unit of the grid.

Source: `NREG_TRANS_TYPE` in NiftyReg's reg-lib/cpu/_reg_maths.h and reg_transform.cpp; spm_deformations.m of SPM12.
"""

import os

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.formats.nifti_fields import NIFTYREG_NAME, SPM_NAME, VECTOR, read_vectors, signature, write_vectors
from vxm_tf.spatial.formats.parts import check_axes
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import DisplacementField, Transform, dense

# Positions that spread less than this part of the grid's own are displacements.
_LEAST_SPREAD = 0.2
# NiftyReg's kinds of vectors.
_POSITIONS, _DISPLACEMENTS = 0, 1
_OTHER_KINDS = {
    2: "control points of cubic splines",
    3: "a velocity field, as positions",
    4: "a velocity field, as displacements",
    5: "control points of a velocity field",
    6: "control points of linear splines",
}


def read_niftyreg_field(path: str | os.PathLike) -> DisplacementField:
    """The transform in a deformation field or displacement field of `reg_transform` or `reg_f3d`.

    Raises:
        InputError: control points or velocities; another shape; values that are not finite.
    """
    with reading(path):
        _check_name(path, NIFTYREG_NAME)
        field = read_vectors(path, "5-D")
        kind = int(field.intent_p1)
        if kind in _OTHER_KINDS:
            raise InputError(
                f"holds {_OTHER_KINDS[kind]}, which is not read. Turn it into a deformation field: "
                "reg_transform -ref FIXED -def THIS OUTPUT"
            )
        if kind not in (_POSITIONS, _DISPLACEMENTS):
            raise InputError(f"NiftyReg's intent_p1 is 0 to 6; this file's is {field.intent_p1:g}.")
        vectors = field.vectors * field.mm_per_unit
        return _from_positions(vectors, field.grid) if kind == _POSITIONS else DisplacementField(field.grid, vectors)


def read_spm_field(path: str | os.PathLike) -> DisplacementField:
    """The transform in an SPM deformation, `y_*.nii` or `iy_*.nii`.

    Raises:
        InputError: another shape, or values that are not finite.
    """
    with reading(path):
        _check_name(path, SPM_NAME)
        field = read_vectors(path, "5-D")
        return _from_positions(field.vectors * field.mm_per_unit, field.grid)


def write_niftyreg_field(path: str | os.PathLike, transform: Transform, fixed_grid: Grid) -> None:
    """Write a transform as a deformation field for `reg_resample` and `reg_transform`, float32.

    Args:
        path: the file to write, `.nii` or `.nii.gz`.
        transform: the transform, from fixed to moving space.
        fixed_grid: grid of the fixed image.

    Raises:
        InputError: a sheared grid, or a path that cannot be written.
    """
    positions = _positions(transform, fixed_grid)
    write_vectors(path, positions, fixed_grid, "5-D", VECTOR, name=NIFTYREG_NAME, intent_p1=_POSITIONS)


def write_spm_field(path: str | os.PathLike, transform: Transform, fixed_grid: Grid) -> None:
    """Write a transform as a deformation for SPM's Deformations and Normalise: Write, float32.

    Args:
        path: the file to write, `.nii`; SPM does not read `.nii.gz`.
        transform: the transform, from fixed to moving space.
        fixed_grid: grid of the fixed image.

    Raises:
        InputError: other than three axes, a sheared grid, or a path that cannot be written.
    """
    check_axes(path, fixed_grid.ndim, "SPM")
    write_vectors(path, _positions(transform, fixed_grid), fixed_grid, "5-D", VECTOR, name=SPM_NAME)


def _positions(transform: Transform, grid: Grid) -> np.ndarray:
    return dense(transform, grid).displacement_mm + grid.points()


def _check_name(path: str | os.PathLike, expected: str) -> None:
    """Raise `InputError` if a file bears the name of the other tool's fields; one without a name may be either's."""
    _, name = signature(path)
    if name and name != expected:
        raise InputError(f"its intent's name is {name!r}; the format that it was taken for has {expected!r}.")


def _from_positions(positions_mm: np.ndarray, grid: Grid) -> DisplacementField:
    missing = np.count_nonzero(~np.isfinite(positions_mm).all(axis=-1))
    if missing:
        raise InputError(
            f"its field has no position at {missing} of {np.prod(grid.shape)} voxels (NaN or infinite). Fill them, for "
            "example with the positions of the nearest voxels."
        )
    points, axes = grid.points(), tuple(range(grid.ndim))
    spread, own = (np.linalg.norm(places.std(axis=axes)) for places in (positions_mm, points))
    if spread < _LEAST_SPREAD * own:
        raise InputError(
            "its vectors are no positions: they lie close together, as displacements do. If ITK or ANTs wrote it, its "
            "format is itk."
        )
    return DisplacementField(grid, (positions_mm - points).astype("float32"))
