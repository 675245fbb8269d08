"""FreeSurfer's affine .lta files: the matrix from source (moving) to target (fixed), and the geometry of both."""

import os
from pathlib import Path

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import write_text
from vxm_tf.spatial.formats.freesurfer_geometry import geometry_from_text, geometry_text
from vxm_tf.spatial.formats.parts import affine_for, check_axes
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import AffineTransform, Transform

_VOXELS, _WORLD = 0, 1


def write_lta(path: str | os.PathLike, transform: Transform, fixed_grid: Grid, moving_grid: Grid | None = None) -> None:
    """Write an affine transform as a matrix between world millimetres (type 1), inverted: from moving to fixed.

    Args:
        path: the file to write.
        transform: an affine transform or a chain of affine transforms, from fixed to moving space.
        fixed_grid: grid of the target ("dst").
        moving_grid: grid of the source ("src"); without it the file marks the source's geometry as invalid, and
            FreeSurfer's tools ask for the image.

    Raises:
        InputError: a dense transform, other than three axes, or a path that cannot be written.
    """
    check_axes(path, fixed_grid.ndim, "FreeSurfer")
    matrix = affine_for(path, transform).inverse().matrix
    lines = ["type      = 1 # LINEAR_RAS_TO_RAS", "nxforms   = 1", "mean      = 0.0000 0.0000 0.0000"]
    lines += ["sigma     = 1.0000", "1 4 4", *(" ".join(f"{value:.15e}" for value in row) for row in matrix)]
    text = "\n".join(lines) + "\nsrc volume info\n" + geometry_text(moving_grid)
    write_text(path, text + "dst volume info\n" + geometry_text(fixed_grid))


def read_lta(path: str | os.PathLike) -> AffineTransform:
    """Read the transform from fixed to moving space in an .lta file between voxel indices (type 0) or worlds (type 1).

    Raises:
        InputError: a damaged file, another type, several matrices, or a matrix between voxels without geometries.
    """
    with reading(path):
        lines = [line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        lines = [line for line in lines if line]
        settings = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines[:4])}
        if settings.get("nxforms") != "1" or "1 4 4" not in lines:
            raise InputError(f"expected an .lta with one 4 x 4 matrix; it says nxforms = {settings.get('nxforms')}.")
        start = lines.index("1 4 4") + 1
        matrix = np.array([row.split() for row in lines[start : start + 4]], "float64")
        if matrix.shape != (4, 4):
            raise InputError(f"its matrix has {len(matrix)} lines of 4; expected 4. The file may be truncated.")
        kind = int(settings.get("type", -1))
        if kind not in (_VOXELS, _WORLD):
            raise InputError(f"its matrix is of type {kind}; expected 0 (voxels) or 1 (world). Use lta_convert.")
        if kind == _VOXELS:
            matrix = _between_worlds(matrix, lines)
        return AffineTransform(matrix).inverse()


def _between_worlds(matrix: np.ndarray, lines: list[str]) -> np.ndarray:
    """The matrix between world millimetres that equals a matrix between voxels."""
    starts = [lines.index(f"{name} volume info") + 1 for name in ("src", "dst")]
    source, target = (geometry_from_text(lines[start : start + 8]) for start in starts)
    if source is None or target is None:
        raise InputError("its matrix is between voxels, but the geometry of an image is marked as invalid.")
    return target.affine @ matrix @ np.linalg.inv(source.affine)
