"""Where a displacement comes close to turning the grid inside out, as something to differentiate."""

import itertools

import numpy as np
from keras import ops as K

from vxm_tf.ops.differences import shifted
from vxm_tf.ops.fusion import fused
from vxm_tf.ops.jacobian import determinant
from vxm_tf.ops.voxel_grid import as_float32, check_field

# In 3-D a cube has, besides those at its corners, a tetrahedron in its middle, whichever of two ways it is cut.
_MIDDLE = [
    [((0, 0, 0), (1, 1, 0)), ((0, 0, 0), (0, 1, 1)), ((0, 0, 0), (1, 0, 1))],
    [((1, 1, 1), (0, 0, 1)), ((1, 1, 1), (0, 1, 0)), ((1, 1, 1), (1, 0, 0))],
]


def folding_penalty(displacement, margin: float = 0.2):
    """How far a grid is beyond `margin` on the way to folding: the sum of max(margin - V, 0)^2 over its simplices.

    V is the signed volume, 1 where nothing is deformed and below 0 where it is inside out, of each simplex of
    `vxm_tf.metrics.non_diffeomorphic_volume` in the cubes between neighbouring voxels, and, as there, in
    those half outside, where the displacement continues as its nearest edge value. The sum is over the
    simplices of a cube (8 corners and 2 in the middle, or 4 corners in 2-D), the mean over cubes.

    Args:
        displacement: `[batch, *spatial, ndim]`, in voxels.
        margin: volume below which a simplex costs.

    Returns:
        `[batch]`, float32.

    Raises:
        ValueError: a field whose last axis is not `ndim`.
    """
    check_field(displacement)
    return _folding_penalty(as_float32(displacement), margin)


def smallest_volume(displacement):
    """The smallest V, see `folding_penalty`, of each cube.

    Args:
        displacement: `[batch, *spatial, ndim]`, in voxels.

    Returns:
        `[batch, *(spatial + 1)]`, float32, without unit; cube i lies between voxels i - 1 and i.
    """
    check_field(displacement)
    return _smallest_volume(as_float32(displacement))


@fused
def _folding_penalty(displacement, margin):
    cost = K.square(K.relu(margin - _volumes(displacement)))
    return K.sum(K.mean(cost, axis=tuple(range(2, len(cost.shape)))), axis=0)


@fused
def _smallest_volume(displacement):
    return K.min(_volumes(displacement), axis=0)


def _volumes(displacement):
    """`[simplices, batch, *(spatial + 1)]`."""
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


def _corner(place):
    """The edges, as (start, stop), that meet at one corner of a cube, each in the direction of its axis."""
    return [tuple((*place[:axis], side, *place[axis + 1 :]) for side in (0, 1)) for axis in range(len(place))]


def _vertex(padded, place):
    """The displacement of one corner of every cube."""
    for axis, side in enumerate(place):
        padded = shifted(padded, axis + 1, side, padded.shape[axis + 1] - 1 + side)
    return padded
