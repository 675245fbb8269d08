"""BIDS X5 transform files, through NiTransforms, which calls its support for them experimental.

A file holds a list of transforms and, for a chain, the order in which points of the fixed space go through them;
matrices and displacements are in RAS millimetres, as ours. Displacement fields move nothing beyond their grid.
"""

import os

import h5py
import numpy as np

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.formats.parts import check_axes, zero_outside_parts
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import AffineTransform, Chain, DisplacementField


def x5_module(path):
    """NiTransforms' module for X5.

    Raises:
        InputError: NiTransforms is not installed.
    """
    try:
        import nitransforms.io.x5
    except ImportError as error:
        raise InputError(
            f"{path}: X5 files need NiTransforms. Install it with: pip install 'vxm-tf[transforms]'"
        ) from error
    return nitransforms.io.x5


def is_x5(path) -> bool:
    """Whether an HDF5 file says that it is X5."""
    with h5py.File(path) as file:
        form = file.attrs.get("Format")
        return (form.decode() if isinstance(form, bytes) else form) == "X5"


def read_x5(path):
    """The transform in an X5 file: its only one, or the first of its chains.

    Raises:
        InputError: NiTransforms is missing; a damaged file; several transforms without a chain; spline coefficients.
    """
    x5 = x5_module(path)
    with reading(path):
        transforms = [_from_node(node) for node in x5.from_filename(path)]
        with h5py.File(path) as file:
            chains = file.get("TransformChain", {})
            order = chains["0"][()] if "0" in chains else None
        if order is not None:
            order = order.decode() if isinstance(order, bytes) else str(order)
            transforms = [transforms[int(number)] for number in order.split("/")]
        elif len(transforms) != 1:
            raise InputError(f"holds {len(transforms)} transforms and no chain that says in which order they go.")
        return transforms[0] if len(transforms) == 1 else Chain(tuple(transforms))


def write_x5(path, transform, fixed_grid: Grid):
    """Write a transform with its parts as they are; a chain where there is more than one.

    Args:
        path: where to.
        transform: any.
        fixed_grid: of the fixed image.

    Raises:
        InputError: NiTransforms is missing, other than three axes, or a place that cannot be written.
    """
    check_axes(path, fixed_grid.ndim, "X5")
    x5 = x5_module(path)
    parts = zero_outside_parts(transform, fixed_grid)

    def save(temporary):
        os.remove(temporary)
        x5.to_filename(temporary, [_to_node(x5, part, fixed_grid) for part in parts])
        with h5py.File(temporary, "r+") as file:
            # NiTransforms' chains ask for this group; a file of one transform is read either way.
            file["TransformChain/0"] = "/".join(str(number) for number in range(len(parts)))

    replace_atomically(path, save)


def _to_node(x5, part, fixed_grid):
    linear = isinstance(part, AffineTransform)
    grid = fixed_grid if linear else part.grid
    return x5.X5Transform(
        type="linear" if linear else "nonlinear",
        subtype="affine" if linear else "densefield",
        representation="matrix" if linear else "displacements",
        metadata={"WrittenBy": "vxm_tf"},
        transform=part.matrix if linear else np.asarray(part.displacement_mm, "float32"),
        dimension_kinds=("space",) * part.ndim + ("vector",),
        domain=x5.X5Domain(grid=True, size=grid.shape, mapping=grid.affine, coordinates="cartesian"),
    )


def _from_node(node):
    if node.type == "linear":
        if node.array_length != 1 or np.shape(node.transform) != (4, 4):
            raise InputError(f"expected one matrix [4, 4]; got an array of shape {np.shape(node.transform)}.")
        return AffineTransform(node.transform)
    if node.type != "nonlinear" or node.subtype not in (None, "densefield"):
        raise InputError(f"holds a {node.type} transform, {node.subtype}; expected an affine or a dense field.")
    if node.domain is None or not node.domain.grid:
        raise InputError("holds a field without the grid it lies on.")
    grid = Grid(tuple(node.domain.size), node.domain.mapping)
    vectors = np.asarray(node.transform)
    if node.representation not in ("displacements", "deformations"):
        raise InputError(f"holds a field of {node.representation}; expected displacements or deformations.")
    if node.representation == "deformations" and vectors.shape == (*grid.shape, grid.ndim):
        vectors = (vectors - grid.points()).astype("float32")
    return DisplacementField(grid, vectors, outside="zero")
