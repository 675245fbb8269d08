"""BIDS X5 transform files, through NiTransforms, whose support for them is experimental.

A file holds a list of transforms and, for a chain, the order in which points of the fixed space go through them.
Matrices and displacements are in RAS millimetres, like ours. Displacement fields move nothing beyond their grids.
"""

import os
from typing import Any

import h5py
import numpy as np

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.formats.parts import check_axes, zero_outside_parts
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import AffineTransform, Chain, DisplacementField, Part, Transform


def x5_module(path: str | os.PathLike) -> Any:
    """NiTransforms' module for X5.

    Args:
        path: the transform file, for messages.

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


def is_x5(path: str | os.PathLike) -> bool:
    """Whether an HDF5 file is marked as X5."""
    with h5py.File(path) as file:
        form = file.attrs.get("Format")
        return (form.decode() if isinstance(form, bytes) else form) == "X5"


def read_x5(path: str | os.PathLike) -> Transform:
    """The transform in an X5 file: its first chain, or its only transform.

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


def write_x5(path: str | os.PathLike, transform: Transform, fixed_grid: Grid) -> None:
    """Write each part of a transform, and a chain of all of them.

    Args:
        path: the file to write.
        transform: the transform, from fixed to moving space.
        fixed_grid: grid of the fixed image.

    Raises:
        InputError: NiTransforms is missing, other than three axes, or a path that cannot be written.
    """
    check_axes(path, fixed_grid.ndim, "X5")
    x5 = x5_module(path)
    parts = zero_outside_parts(transform, fixed_grid)

    def save(temporary: str) -> None:
        os.remove(temporary)
        x5.to_filename(temporary, [_to_node(x5, part, fixed_grid) for part in parts])
        with h5py.File(temporary, "r+") as file:
            # NiTransforms needs this group to read a chain, and ignores it in a file with one transform.
            file["TransformChain/0"] = "/".join(str(number) for number in range(len(parts)))

    replace_atomically(path, save)


def _to_node(x5: Any, part: Part, fixed_grid: Grid) -> Any:
    if isinstance(part, AffineTransform):
        grid, values = fixed_grid, part.matrix
        kind, subtype, representation = "linear", "affine", "matrix"
    else:
        grid, values = part.grid, np.asarray(part.displacement_mm, "float32")
        kind, subtype, representation = "nonlinear", "densefield", "displacements"
    return x5.X5Transform(
        type=kind,
        subtype=subtype,
        representation=representation,
        metadata={"WrittenBy": "vxm_tf"},
        transform=values,
        dimension_kinds=("space",) * part.ndim + ("vector",),
        domain=x5.X5Domain(grid=True, size=grid.shape, mapping=grid.affine, coordinates="cartesian"),
    )


def _from_node(node: Any) -> Part:
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
