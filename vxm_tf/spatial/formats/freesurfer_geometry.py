"""FreeSurfer's description of a grid, in bytes and in text: shape, voxel size, axis directions and middle.

The middle ("c_ras") is the world position of index shape / 2, half a voxel beyond the centre of the field of view.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import Grid

_KEYS = ("volume", "voxelsize", "xras", "yras", "zras", "cras")


def pack_geometry(grid: Grid, shear: bool = False) -> bytes:
    """A grid in 76 bytes: a flag and the shape (int32), spacing, directions by columns and middle (float32).

    Args:
        grid: a grid with three axes.
        shear: append a shear of 0, which makes 88 bytes.
    """
    spacing, directions, middle = _numbers(grid)
    values = (*spacing, *directions.ravel(order="F"), *middle, *[0.0] * (3 if shear else 0))
    return struct.pack(f">4i{len(values)}f", 1, *grid.shape, *values)


def unpack_geometry(data: bytes, shear: bool = False) -> Grid:
    """The grid in bytes as `pack_geometry` writes them.

    Raises:
        InputError: a geometry that is marked as invalid, or singular.
    """
    valid, *shape = struct.unpack(">4i", data[:16])
    numbers = np.array(struct.unpack(f">{18 if shear else 15}f", data[16:]), "float64")
    if not valid:
        raise InputError("the geometry of its source or target is marked as invalid.")
    slant = np.eye(3)
    if shear:
        slant[0, 1], slant[0, 2], slant[1, 2] = numbers[15:]
    return _grid(shape, numbers[:3], numbers[3:12].reshape(3, 3, order="F"), numbers[12:15], slant)


def geometry_text(grid: Grid | None) -> str:
    """A grid in the eight lines of an .lta file, which mark the geometry as invalid if there is no grid."""
    valid = grid is not None
    grid = grid or Grid((256, 256, 256), np.diag([1.0, 1.0, 1.0, 1.0]))
    spacing, directions, middle = _numbers(grid)
    numbers = dict(zip(_KEYS[1:], (spacing, *directions.T, middle)))
    lines = [f"valid = {int(valid)}  # volume info {'' if valid else 'in'}valid", "filename = none"]
    lines.append("volume = {} {} {}".format(*grid.shape))
    lines += [f"{key:<6} = " + " ".join(f"{value:.15e}" for value in values) for key, values in numbers.items()]
    return "\n".join(lines) + "\n"


def geometry_from_text(lines: Iterable[str]) -> Grid | None:
    """The grid in lines "key = values" of an .lta file; None if they mark it as invalid.

    Raises:
        InputError: a line is missing, or the geometry is singular.
    """
    values = {key.strip(): value.split("#")[0].split() for key, _, value in (line.partition("=") for line in lines)}
    if values.get("valid", ["0"])[0] == "0":
        return None
    missing = [key for key in _KEYS if len(values.get(key, ())) != 3]
    if missing:
        raise InputError(f"its geometry lacks {', '.join(missing)}.")
    shape, spacing, x, y, z, middle = (np.array(values[key], "float64") for key in _KEYS)
    return _grid(shape.astype(int), spacing, np.stack([x, y, z], axis=1), middle, np.eye(3))


def _numbers(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(spacing `[3]`, directions `[3, 3]` as columns, middle `[3]`), in millimetres."""
    axes, spacing = grid.affine[:3, :3], np.array(grid.spacing_mm)
    return spacing, axes / spacing, grid.to_world(np.array(grid.shape) / 2)


def _grid(
    shape: Sequence[int] | np.ndarray,
    spacing: np.ndarray,
    directions: np.ndarray,
    middle: np.ndarray,
    slant: np.ndarray,
) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(spacing) @ slant
    affine[:3, 3] = middle - affine[:3, :3] @ (np.array(shape) / 2)
    return Grid(tuple(shape), affine)
