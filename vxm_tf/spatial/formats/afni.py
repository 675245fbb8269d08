"""AFNI's transform files: displacement fields as 3dNwarpApply takes them, and aff12.1D matrices.

Both map points of the base (fixed) image to the source (moving) image, in DICOM order: millimetres, x to the left,
y to the back. A field has the layout of ITK's, without the intent. AFNI ignores the tilt of oblique images when it
applies a transform, and would apply it at the wrong positions, so oblique images are refused.
"""

import os
from pathlib import Path

import nibabel
import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import write_text
from vxm_tf.spatial.formats.itk_kinds import turned, turned_affine
from vxm_tf.spatial.formats.nifti_fields import check_displacements, read_vectors, write_vectors
from vxm_tf.spatial.formats.parts import affine_for, check_axes
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import AffineTransform, DisplacementField, Transform, dense

# AFNI treats an image as oblique above this angle.
_OBLIQUE_DEGREES = 0.01


def read_afni(
    path: str | os.PathLike, moving_grid: Grid | None = None, fixed_grid: Grid | None = None
) -> AffineTransform | DisplacementField:
    """The displacement field (`.nii`, `.nii.gz`) or the matrix of an `.aff12.1D` file (any other name).

    Args:
        path: the file.
        moving_grid: grid of the source image, which is refused if it is oblique.
        fixed_grid: grid of the base image, which is refused if it is oblique; a field holds its own.

    Returns:
        A displacement field, which moves nothing beyond its grid, or an affine transform.

    Raises:
        InputError: an oblique image, a damaged file, or several matrices.
    """
    with reading(path):
        if str(path).lower().endswith((".nii", ".nii.gz")):
            field = read_vectors(path, "5-D")
            check_displacements(path, field)
            fixed_grid = field.grid
            transform: AffineTransform | DisplacementField = DisplacementField(
                fixed_grid, turned(field.vectors), outside="zero"
            )
        else:
            transform = _read_matrix(path)
    check_axes(path, transform.ndim, "AFNI")
    _check_not_oblique(path, moving_grid, fixed_grid)
    return transform


def write_afni(
    path: str | os.PathLike, transform: Transform, fixed_grid: Grid, moving_grid: Grid | None = None
) -> None:
    """Write a displacement field (`.nii`, `.nii.gz`, float32) or a matrix (`.aff12.1D`, twelve numbers row by row).

    Args:
        path: the file to write; its name chooses between field and matrix.
        transform: the transform, from fixed to moving space; it must be affine for a matrix.
        fixed_grid: grid of the base image, which is refused if it is oblique.
        moving_grid: grid of the source image, which is refused if it is oblique.

    Raises:
        InputError: an oblique image, other than three axes, a dense transform for a matrix file, or a path that
            cannot be written.
    """
    check_axes(path, fixed_grid.ndim, "AFNI")
    _check_not_oblique(path, moving_grid, fixed_grid)
    if str(path).lower().endswith((".nii", ".nii.gz")):
        write_vectors(path, turned(dense(transform, fixed_grid).displacement_mm), fixed_grid, "5-D", 0)
        return
    numbers = turned_affine(affine_for(path, transform).matrix)[:3].ravel()
    text = " ".join(f"{number:.12g}" for number in numbers)
    write_text(path, f"# 3dvolreg matrices (DICOM-to-DICOM, row-by-row):\n{text}\n")


def _check_not_oblique(path: str | os.PathLike, moving_grid: Grid | None, fixed_grid: Grid | None) -> None:
    for which, grid in (("moving", moving_grid), ("fixed", fixed_grid)):
        degrees = 0.0 if grid is None else np.degrees(nibabel.affines.obliquity(grid.affine).max())
        if degrees > _OBLIQUE_DEGREES:
            raise InputError(
                f"{path}: the {which} image is oblique, its axes turned by {degrees:.3g} degrees against the world's. "
                "AFNI takes such an image as if it were straight, so it would apply the transform at other places than "
                "meant. Straighten the image first (3dWarp -deoblique), or use format itk."
            )


def _read_matrix(path: str | os.PathLike) -> AffineTransform:
    lines = [line.split("#")[0] for line in Path(path).read_text(encoding="utf-8").splitlines()]
    numbers = np.array(" ".join(lines).split(), "float64")
    if len(numbers) != 12:
        several = " It may hold one matrix for each volume of a series." if len(numbers) % 12 == 0 else ""
        raise InputError(f"an AFNI affine is 12 numbers, a 3 x 4 matrix row by row; got {len(numbers)}.{several}")
    return AffineTransform(turned_affine(np.vstack([numbers.reshape(3, 4), [0, 0, 0, 1]])))
