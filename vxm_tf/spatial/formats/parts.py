"""Splitting and joining the parts of a transform to fit a file format, with checks of what the format can hold."""

import os
from collections.abc import Sequence

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import Grid, same_grid
from vxm_tf.spatial.transforms import AffineTransform, DisplacementField, Part, Transform, dense, flattened, slabs

# Largest factor by which a field may be enlarged by its edge; otherwise one field on the image's grid is written.
_LARGEST_GROWTH = 8


def as_affine(transform: Transform) -> AffineTransform | None:
    """An affine transform or a chain of affine transforms as one matrix; None if a part is dense."""
    matrix = np.eye(transform.ndim + 1)
    for part in flattened(transform):
        if not isinstance(part, AffineTransform):
            return None
        matrix = part.matrix @ matrix
    return AffineTransform(matrix)


def affine_for(path: str | os.PathLike, transform: Transform) -> AffineTransform:
    """A transform as one matrix, for a file that holds nothing else.

    Raises:
        InputError: a part is dense.
    """
    affine = as_affine(transform)
    if affine is None:
        raise InputError(
            f"{path}: a file of this kind holds an affine matrix only, but the transform has a displacement field. "
            "Choose a name that ends in .nii.gz, .h5, .mgz or .x5."
        )
    return affine


def check_axes(path: str | os.PathLike, ndim: int, tool: str) -> None:
    """Raise `InputError` unless there are three axes, for the formats that hold no others."""
    if ndim != 3:
        raise InputError(f"{path}: {tool} transforms have three axes; this one has {ndim}. Use format itk.")


def required_grid(path: str | os.PathLike, grid: Grid | None, which: str, why: str) -> Grid:
    """Return a grid that a format needs, or raise an error if it is missing.

    Args:
        path: the transform file, for messages.
        grid: the grid, or None if the user gave no image.
        which: name of the grid, "moving" or "fixed".
        why: reason why the grid is needed, for messages.

    Raises:
        InputError: the grid is None.
    """
    if grid is None:
        raise InputError(f"{path}: the {which} image is needed as well, because {why}. Give it.")
    return grid


def zero_outside_parts(transform: Transform, grid: Grid) -> tuple[Part, ...]:
    """Parts that equal a transform at the voxels of a grid, with fields that move nothing beyond their own grids.

    Fields of ITK and X5 move nothing beyond their grids. A field whose edge value continues beyond its grid is enlarged
    by copies of its edge until it covers the points of `grid`.

    Args:
        transform: the transform, from fixed to moving space.
        grid: grid of the fixed image.

    Returns:
        Affine transforms and displacement fields, in the order in which they map points of the fixed space.
    """
    parts = list(flattened(transform))
    reach = _reach(parts, grid)
    for number, part in enumerate(parts):
        if number not in reach or not isinstance(part, DisplacementField):
            continue
        low, high = reach[number]
        shape = np.array(part.grid.shape)
        before = np.maximum(0, np.ceil(-0.5 - low)).astype(int)
        after = np.maximum(0, np.ceil(high - shape + 0.5)).astype(int)
        if np.prod((shape + before + after) / shape) > _LARGEST_GROWTH:
            return (dense(transform, grid),)
        parts[number] = _with_edge(part, before, after)
    return tuple(parts)


def _reach(parts: Sequence[Part], grid: Grid) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Number of each field that repeats its edge -> smallest and largest index of the grid's points in that field."""
    wanted = [
        number
        for number, part in enumerate(parts)
        if isinstance(part, DisplacementField) and part.outside != "zero" and (number or not same_grid(part.grid, grid))
    ]
    reach: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for start, stop in slabs(grid.shape) if wanted else ():
        points = grid.slab_points(start, stop).reshape(-1, grid.ndim)
        for number, part in enumerate(parts[: wanted[-1] + 1]):
            if number in wanted and isinstance(part, DisplacementField):
                indices = part.grid.to_indices(points)
                lowest, highest = indices.min(axis=0), indices.max(axis=0)
                low, high = reach.get(number, (lowest, highest))
                reach[number] = np.minimum(low, lowest), np.maximum(high, highest)
            points = part.map(points)
    return reach


def _with_edge(field: DisplacementField, before: np.ndarray, after: np.ndarray) -> DisplacementField:
    widths = np.stack([before, after], axis=1)
    if not widths.any():
        return field
    shift = np.eye(field.ndim + 1)
    shift[:-1, -1] = -before
    values = np.pad(field.displacement_mm, [*widths, (0, 0)], mode="edge")
    return DisplacementField(Grid(values.shape[:-1], field.grid.affine @ shift), values, outside="zero")
