"""FSL's transform files: FNIRT's displacement fields and FLIRT's matrices.

FSL's coordinates are voxel indices times voxel size; the first axis is flipped where the image's affine has a positive
determinant. A FNIRT field lies on the fixed ("reference") image's grid and holds, for each voxel, the moving
("source") image's FSL coordinates, either less the fixed image's ("relative") or not ("absolute"). A FLIRT matrix takes
FSL coordinates of the moving image to those of the fixed one. Neither file holds the moving image's grid.

Source: https://fsl.fmrib.ox.ac.uk/fsl/docs/#/registration/flirt/faq and fslpy's `fsl.transform`.
"""

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import write_text
from vxm_tf.spatial.formats.nifti_fields import FSL_COEFFICIENTS, FSL_DISPLACEMENT, read_vectors, write_vectors
from vxm_tf.spatial.formats.parts import affine_for, check_axes, required_grid
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid, apply_affine
from vxm_tf.spatial.transforms import AffineTransform, DisplacementField, dense, slabs

FIELD_TYPES = ("relative", "absolute")
_GRIDS_NEEDED = "FSL counts in the voxels of both images, and its files hold at most the fixed image's grid"


def to_fsl(grid: Grid) -> np.ndarray:
    """The affine `[4, 4]` from a grid's voxel indices to FSL's coordinates in millimetres."""
    matrix = np.diag([*grid.spacing_mm, 1.0])
    if np.linalg.det(grid.affine[:3, :3]) > 0:
        matrix[0, 0], matrix[0, 3] = -matrix[0, 0], (grid.shape[0] - 1) * grid.spacing_mm[0]
    return matrix


def read_fsl(path, moving_grid: Grid | None, fixed_grid: Grid | None = None, *, field_type: str | None = None):
    """A FNIRT field (`.nii`, `.nii.gz`) or a FLIRT matrix (any other name).

    Args:
        path: of the file.
        moving_grid: of the moving ("source") image.
        fixed_grid: of the fixed ("reference") image; needed for a matrix only, a field holds its own.
        field_type: "relative" or "absolute"; None takes the reading under which points move more alike. FSL and fslpy
            guess alike where both images' voxels are stored in the same order of axes.

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
    if not dense_file:
        fixed_grid = required_grid(path, fixed_grid, "fixed", _GRIDS_NEEDED)
    with reading(path):
        return _read_field(path, moving_grid, field_type) if dense_file else _read_matrix(path, moving_grid, fixed_grid)


def write_fsl(path, transform, fixed_grid: Grid, moving_grid: Grid | None):
    """Write a relative FNIRT field (`.nii`, `.nii.gz`, intent 2006, float32) or a FLIRT matrix (`.mat`).

    Args:
        path: where to.
        transform: any; affine throughout for a matrix.
        fixed_grid: of the fixed ("reference") image.
        moving_grid: of the moving ("source") image.

    Raises:
        InputError: no moving grid, other than three axes, a sheared fixed grid, a field where a matrix is asked for,
            or a place that cannot be written.
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


def _world_to_fsl(grid):
    return to_fsl(grid) @ np.linalg.inv(grid.affine)


def _read_field(path, moving_grid, field_type):
    vectors, grid, intent = read_vectors(path, "4-D")
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


def _displacement(vectors, points, grid, moving_grid, field_type):
    """The displacement in world millimetres that vectors of the file mean at points of the fixed space."""
    own = apply_affine(_world_to_fsl(grid), points) if field_type == "relative" else 0.0
    return apply_affine(np.linalg.inv(_world_to_fsl(moving_grid)), vectors + own) - points


def _likely_type(vectors, grid, moving_grid):
    thinned = tuple(slice(None, None, 1 + size // 40) for size in grid.shape)
    indices = np.stack(np.meshgrid(*(np.arange(size)[s] for size, s in zip(grid.shape, thinned)), indexing="ij"), -1)
    points = grid.to_world(indices)

    def spread(field_type):
        return _displacement(vectors[thinned], points, grid, moving_grid, field_type).std(axis=(0, 1, 2)).sum()

    return min(FIELD_TYPES, key=spread)


def _read_matrix(path, moving_grid, fixed_grid):
    flirt = np.loadtxt(path, ndmin=2)
    if flirt.shape != (4, 4):
        raise InputError(f"a FLIRT matrix has 4 lines of 4 numbers; got {flirt.shape[0]} of {flirt.shape[1]}.")
    to_fixed = AffineTransform(flirt).inverse().matrix
    return AffineTransform(np.linalg.inv(_world_to_fsl(moving_grid)) @ to_fixed @ _world_to_fsl(fixed_grid))
