"""A transform as the parts that a file format has room for."""

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import AffineTransform, DisplacementField, dense, flattened, is_affine, slabs

# An edge that would have to be repeated so far that a field grows by more is written as a field on the image's grid.
_LARGEST_GROWTH = 8


def as_affine(transform) -> AffineTransform | None:
    """The one matrix of a transform that is affine throughout; None where a part is dense."""
    if not is_affine(transform):
        return None
    matrix = np.eye(transform.ndim + 1)
    for part in flattened(transform):
        matrix = part.matrix @ matrix
    return AffineTransform(matrix)


def affine_for(path, transform) -> AffineTransform:
    """`as_affine`, for a file that holds a matrix only.

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


def check_axes(path, ndim: int, tool: str):
    """Raise `InputError` unless there are three axes, for the formats that know no others."""
    if ndim != 3:
        raise InputError(f"{path}: {tool} transforms have three axes; this one has {ndim}. Use format itk.")


def required_grid(path, grid: Grid | None, which: str, why: str) -> Grid:
    """The grid, or a `InputError` that says which image is missing and what for."""
    if grid is None:
        raise InputError(f"{path}: the {which} image is needed as well, because {why}. Give it.")
    return grid


def zero_outside_parts(transform, grid: Grid) -> tuple:
    """Parts that do the same at the voxels of a grid although fields move nothing beyond their own grids.

    ITK and X5 know no other fields. Where a point comes to lie beyond a field that goes on with its edge value, the
    edge is repeated as far as needed.

    Args:
        transform: any.
        grid: of the fixed image.

    Returns:
        Affine transforms and displacement fields, first the one that takes points of the fixed space.
    """
    parts = list(flattened(transform))
    reach = _reach(parts, grid)
    for number, part in enumerate(parts):
        if number not in reach:
            continue
        low, high = reach[number]
        shape = np.array(part.grid.shape)
        before = np.maximum(0, np.ceil(-0.5 - low)).astype(int)
        after = np.maximum(0, np.ceil(high - shape + 0.5)).astype(int)
        if np.prod((shape + before + after) / shape) > _LARGEST_GROWTH:
            return (dense(transform, grid),)
        parts[number] = _with_edge(part, before, after)
    return tuple(parts)


def _reach(parts, grid):
    """Part number -> smallest and largest index that the grid's points have in it, for fields with an edge."""
    wanted = [
        number
        for number, part in enumerate(parts)
        if isinstance(part, DisplacementField) and part.outside != "zero" and (number or not part.grid.is_same(grid))
    ]
    reach = {}
    for start, stop in slabs(grid.shape) if wanted else ():
        points = grid.slab_points(start, stop).reshape(-1, grid.ndim)
        for number, part in enumerate(parts[: wanted[-1] + 1]):
            if number in wanted:
                indices = part.grid.to_indices(points)
                low, high = reach.get(number, (np.inf, -np.inf))
                reach[number] = np.minimum(low, indices.min(axis=0)), np.maximum(high, indices.max(axis=0))
            points = part.map(points)
    return reach


def _with_edge(field, before, after):
    widths = np.stack([before, after], axis=1)
    if not widths.any():
        return field
    shift = np.eye(field.ndim + 1)
    shift[:-1, -1] = -before
    values = np.pad(field.displacement_mm, [*widths, (0, 0)], mode="edge")
    return DisplacementField(Grid(values.shape[:-1], field.grid.affine @ shift), values, outside="zero")
