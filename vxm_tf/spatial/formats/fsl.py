"""FSL's transform files: FNIRT's displacement fields and FLIRT's matrices.

FSL's coordinates are voxel indices times voxel size; the first axis is flipped if the image's affine has a positive
determinant. A FNIRT field has the grid of the fixed ("reference") image and holds, for each voxel, FSL coordinates
of the moving ("source") image, either as they are ("absolute") or minus those of the fixed image ("relative"). A FLIRT
matrix maps FSL coordinates of the moving image to those of the fixed image. Neither file holds the moving image's grid.

Source: https://fsl.fmrib.ox.ac.uk/fsl/docs/#/registration/flirt/faq and fslpy's `fsl.transform`.
"""

import os

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import write_text
from vxm_tf.spatial.formats.nifti_fields import FSL_COEFFICIENTS, FSL_DISPLACEMENT, read_vectors, write_vectors
from vxm_tf.spatial.formats.parts import affine_for, check_axes, required_grid
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid, apply_affine
from vxm_tf.spatial.transforms import AffineTransform, DisplacementField, Transform, dense, slabs

FIELD_TYPES = ("relative", "absolute")
_GRIDS_NEEDED = "FSL counts in the voxels of both images, and its files hold at most the fixed image's grid"


def to_fsl(grid: Grid) -> np.ndarray:
    """The affine `[4, 4]` from a grid's voxel indices to FSL's coordinates in millimetres."""
    matrix = np.diag([*grid.spacing_mm, 1.0])
    if np.linalg.det(grid.affine[:3, :3]) > 0:
        matrix[0, 0], matrix[0, 3] = -matrix[0, 0], (grid.shape[0] - 1) * grid.spacing_mm[0]
    return matrix


def read_fsl(
    path: str | os.PathLike,
    moving_grid: Grid | None,
    fixed_grid: Grid | None = None,
    *,
    field_type: str | None = None,
) -> AffineTransform | DisplacementField:
    """The transform in a FNIRT field (`.nii`, `.nii.gz`) or a FLIRT matrix (any other name).

    Args:
        path: the file.
        moving_grid: grid of the moving ("source") image.
        fixed_grid: grid of the fixed ("reference") image; only a matrix needs it, a field holds its own.
        field_type: "relative" or "absolute"; None takes the type for which displacements vary less. FSL and fslpy
            guess the same type if the axes of both images are stored in the same order.

    Returns:
        A displacement field or an affine transform.

    Raises:
        ValueError: unknown field type.
        InputError: a missing grid, a damaged file, or spline coefficients.
    """
    if field_type not in (None, *FIELD_TYPES):
        raise ValueError(f"field_type is one of {', '.join(map(repr, FIELD_TYPES))} or None; got {field_type!r}.")
    dense_file = str(path).lower().endswith((".nii", ".nii.gz"))
    moving_grid = required_grid(path, moving_grid, "moving", _GRIDS_NEEDED)
    if dense_file:
        with reading(path):
            return _read_field(path, moving_grid, field_type)
    fixed_grid = required_grid(path, fixed_grid, "fixed", _GRIDS_NEEDED)
    with reading(path):
        return _read_matrix(path, moving_grid, fixed_grid)


def write_fsl(path: str | os.PathLike, transform: Transform, fixed_grid: Grid, moving_grid: Grid | None) -> None:
    """Write a relative FNIRT field (`.nii`, `.nii.gz`, intent 2006, float32) or a FLIRT matrix (`.mat`).

    Args:
        path: the file to write; its name chooses between field and matrix.
        transform: the transform, from fixed to moving space; it must be affine for a matrix.
        fixed_grid: grid of the fixed ("reference") image.
        moving_grid: grid of the moving ("source") image.

    Raises:
        InputError: no moving grid, other than three axes, a sheared fixed grid, a dense transform for a matrix file,
            or a path that cannot be written.
    """
    check_axes(path, fixed_grid.ndim, "FSL")
    moving_grid = required_grid(path, moving_grid, "moving", _GRIDS_NEEDED)
    if not str(path).lower().endswith((".nii", ".nii.gz")):
        world = affine_for(path, transform).matrix
        flirt = _world_to_fsl(fixed_grid) @ np.linalg.inv(world) @ np.linalg.inv(_world_to_fsl(moving_grid))
        write_text(path, "".join("  ".join(f"{v:.12g}" for v in row) + "\n" for row in flirt))
        return
    field = dense(transform, fixed_grid)
    vectors = np.empty((*fixed_grid.shape, 3), "float32")
    for start, stop in slabs(fixed_grid.shape):
        points = fixed_grid.slab_points(start, stop)
        absolute = apply_affine(_world_to_fsl(moving_grid), points + field.displacement_mm[start:stop])
        vectors[start:stop] = absolute - apply_affine(_world_to_fsl(fixed_grid), points)
    write_vectors(path, vectors, fixed_grid, "4-D", FSL_DISPLACEMENT)


def _world_to_fsl(grid: Grid) -> np.ndarray:
    return to_fsl(grid) @ np.linalg.inv(grid.affine)


def _read_field(path: str | os.PathLike, moving_grid: Grid, field_type: str | None) -> DisplacementField:
    field = read_vectors(path, "4-D")
    # FSL does not look at the header's unit: its vectors are in the unit of the voxel size.
    vectors, grid, intent = field.vectors * field.mm_per_unit, field.grid, field.intent
    if intent in FSL_COEFFICIENTS:
        raise InputError("holds spline coefficients. Turn them into a field: fnirtfileutils --in= --ref= --out=")
    if intent != FSL_DISPLACEMENT:
        raise InputError(f"FNIRT's fields have the intent {FSL_DISPLACEMENT}; got {intent}.")
    if not np.all(np.isfinite(vectors)):
        raise InputError("a displacement field holds NaN or infinite values.")
    field_type = field_type or _likely_type(vectors, grid, moving_grid)
    displacement_mm = np.empty(vectors.shape, "float32")
    for start, stop in slabs(grid.shape):
        points = grid.slab_points(start, stop)
        displacement_mm[start:stop] = _displacement(vectors[start:stop], points, grid, moving_grid, field_type)
    return DisplacementField(grid, displacement_mm)


def _displacement(
    vectors: np.ndarray, points: np.ndarray, grid: Grid, moving_grid: Grid, field_type: str
) -> np.ndarray:
    """The displacement in world millimetres of a file's vectors at points of the fixed space."""
    own = apply_affine(_world_to_fsl(grid), points) if field_type == "relative" else 0.0
    return apply_affine(np.linalg.inv(_world_to_fsl(moving_grid)), vectors + own) - points


def _likely_type(vectors: np.ndarray, grid: Grid, moving_grid: Grid) -> str:
    thinned = tuple(slice(None, None, 1 + size // 40) for size in grid.shape)
    indices = np.stack(np.meshgrid(*(np.arange(size)[s] for size, s in zip(grid.shape, thinned)), indexing="ij"), -1)
    points = grid.to_world(indices)

    def spread(field_type: str) -> float:
        return _displacement(vectors[thinned], points, grid, moving_grid, field_type).std(axis=(0, 1, 2)).sum()

    return min(FIELD_TYPES, key=spread)


def _read_matrix(path: str | os.PathLike, moving_grid: Grid, fixed_grid: Grid) -> AffineTransform:
    flirt = np.loadtxt(path, ndmin=2)
    if flirt.shape != (4, 4):
        raise InputError(f"a FLIRT matrix has 4 lines of 4 numbers; got {flirt.shape[0]} of {flirt.shape[1]}.")
    to_fixed = AffineTransform(flirt).inverse().matrix
    return AffineTransform(np.linalg.inv(_world_to_fsl(moving_grid)) @ to_fixed @ _world_to_fsl(fixed_grid))
