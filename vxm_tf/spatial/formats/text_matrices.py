"""Affine matrices in text files, 4 lines of 4 numbers, and which tool may have written them.

greedy, ITK-SNAP, c3d_affine_tool and NiftyReg store the map of points from the fixed ("reference") to the moving
("floating") image, in RAS millimetres. FLIRT stores another matrix in the same form; see `formats.fsl`.
"""

import os
import re
from pathlib import Path

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import write_text
from vxm_tf.spatial.formats.parts import affine_for, check_axes
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.transforms import AffineTransform, Transform

_NUMBER = r"[-+]?[\d.]+(?:e[-+]?\d+)?"
# FLIRT, and this package for it, put two spaces between numbers; greedy, c3d and NiftyReg put one.
_AS_FLIRT = re.compile(rf"\s*{_NUMBER}(?:  {_NUMBER}){{3}}\s*", re.I)


def read_ras_matrix(path: str | os.PathLike) -> AffineTransform:
    """The transform in a matrix that greedy, ITK-SNAP, c3d_affine_tool or NiftyReg wrote.

    Raises:
        InputError: a file without 4 lines of 4 numbers, or a matrix that cannot be inverted.
    """
    with reading(path):
        matrix = np.loadtxt(path, ndmin=2)
        if matrix.shape != (4, 4):
            raise InputError(f"a matrix has 4 lines of 4 numbers; got {matrix.shape[0]} of {matrix.shape[1]}.")
        return AffineTransform(matrix)


def write_ras_matrix(path: str | os.PathLike, transform: Transform, tool: str) -> None:
    """Write an affine transform for greedy, ITK-SNAP, c3d_affine_tool or NiftyReg.

    Args:
        path: the file to write.
        transform: the transform, from fixed to moving space.
        tool: name of the tool, for messages.

    Raises:
        InputError: other than three axes, a dense transform, or a path that cannot be written.
    """
    check_axes(path, transform.ndim, tool)
    rows = affine_for(path, transform).matrix
    write_text(path, "".join(" ".join(f"{value:.12g}" for value in row) + "\n" for row in rows))


def is_matrix_text(path: str | os.PathLike) -> bool:
    """Whether a file is a text of numbers alone."""
    with open(path, "rb") as file:
        start = file.read(4096)
    try:
        return bool(np.array(start.decode("ascii").split(), "float64").size)
    except ValueError:
        return False


def format_of_matrix(path: str | os.PathLike) -> str:
    """The format "fsl" if a matrix is spaced as FLIRT spaces it.

    Raises:
        InputError: a matrix that may be FLIRT's or another tool's, which mean different transforms by it.
    """
    lines = [line for line in Path(path).read_text(encoding="ascii").splitlines() if line.strip()]
    if len(lines) == 4 and all(_AS_FLIRT.fullmatch(line) for line in lines):
        return "fsl"
    raise InputError(
        "holds a 4 x 4 matrix in text, and tools mean different transforms by that. Say which format it has: fsl for "
        "FLIRT; greedy for greedy, ITK-SNAP and c3d_affine_tool; niftyreg for reg_aladin."
    )
