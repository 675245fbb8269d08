"""A differentiable penalty on displacements that fold the grid or come close to it."""

import itertools
from typing import TypeAlias

import numpy as np
from keras import ops as K

from vxm_tf.ops.differences import shifted
from vxm_tf.ops.fusion import fused
from vxm_tf.ops.jacobian import determinant
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32, check_field

Corner: TypeAlias = tuple[int, ...]
Simplex: TypeAlias = list[tuple[Corner, ...]]

# In 3-D a cube has, besides the tetrahedra at its corners, one in its middle for each of the two ways to cut it.
_MIDDLE: list[Simplex] = [
    [((0, 0, 0), (1, 1, 0)), ((0, 0, 0), (0, 1, 1)), ((0, 0, 0), (1, 0, 1))],
    [((1, 1, 1), (0, 0, 1)), ((1, 1, 1), (0, 1, 0)), ((1, 1, 1), (1, 0, 0))],
]


def folding_penalty(displacement: Tensor, margin: float = 0.2) -> Tensor:
    """Penalty max(margin - V, 0)^2 on simplices of the grid that fold or come close to it.

    V is the signed volume of a simplex, 1 where nothing is deformed and below 0 where the simplex is inside out. The
    simplices are those of `vxm_tf.metrics.non_diffeomorphic_volume`: they fill the cubes between neighbouring voxels,
    also the cubes half outside the image, where the displacement continues with its nearest edge value. The penalty
    is summed over the simplices of a cube (8 at corners and 2 in the middle; in 2-D, 4 at corners) and averaged over
    cubes.

    Args:
        displacement: `[batch, *spatial, ndim]`, in voxels.
        margin: relative volume V below which a simplex is penalised.

    Returns:
        `[batch]`, float32, without unit.

    Raises:
        ValueError: a field whose last axis is not `ndim`.
    """
    check_field(displacement)
    return _folding_penalty(as_float32(displacement), margin)


def smallest_volume(displacement: Tensor) -> Tensor:
    """Smallest signed volume V among the simplices of each cube, see `folding_penalty`.

    Args:
        displacement: `[batch, *spatial, ndim]`, in voxels.

    Returns:
        `[batch, *(spatial + 1)]`, float32, without unit; cube i lies between voxels i - 1 and i.

    Raises:
        ValueError: a field whose last axis is not `ndim`.
    """
    check_field(displacement)
    return _smallest_volume(as_float32(displacement))


@fused
def _folding_penalty(displacement: Tensor, margin: float) -> Tensor:
    cost = K.square(K.relu(margin - _volumes(displacement)))
    return K.sum(K.mean(cost, axis=tuple(range(2, len(cost.shape)))), axis=0)


@fused
def _smallest_volume(displacement: Tensor) -> Tensor:
    return K.min(_volumes(displacement), axis=0)


def _volumes(displacement: Tensor) -> Tensor:
    """Signed volume of every simplex over its undeformed volume, `[simplices, batch, *(spatial + 1)]`."""
    ndim = displacement.shape[-1]
    padded = K.pad(displacement, [(0, 0), *[(1, 1)] * ndim, (0, 0)], mode="symmetric")
    vertices = {place: _vertex(padded, place) for place in itertools.product((0, 1), repeat=ndim)}
    simplices = [_corner(place) for place in vertices] + (_MIDDLE if ndim == 3 else [])
    matrix = []
    for edges in zip(*simplices):
        steps = [np.subtract(stop, start) for start, stop in edges]
        # One array for all simplices: a graph of few large operations is quicker to trace and to compile.
        edge = K.stack([vertices[b] - vertices[a] + step.astype("float32") for (a, b), step in zip(edges, steps)])
        matrix.append([edge[..., component] for component in range(ndim)])
    undeformed = [abs(np.linalg.det(np.subtract(*np.moveaxis(np.array(s), 1, 0)))) for s in simplices]
    return determinant(matrix) / np.reshape(undeformed, [-1] + [1] * (ndim + 1)).astype("float32")


def _corner(place: Corner) -> Simplex:
    """The simplex at one corner of a cube: edges (start, stop) that meet there, each in the direction of its axis."""
    return [tuple((*place[:axis], side, *place[axis + 1 :]) for side in (0, 1)) for axis in range(len(place))]


def _vertex(padded: Tensor, place: Corner) -> Tensor:
    """The displacement at one corner of every cube."""
    for axis, side in enumerate(place):
        padded = shifted(padded, axis + 1, side, padded.shape[axis + 1] - 1 + side)
    return padded
