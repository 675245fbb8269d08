"""Orders and directions of axes, found in a graph."""

import typing

import tensorflow as tf

from vxm_tf.spatial.working_grid import WORLD_AXES


class GridTensor(typing.NamedTuple):
    """A grid in world space: shape int32 `[3]`, affine float64 `[4, 4]` to millimetres, RAS+."""

    shape: object
    affine: object


def reordering(grid, orientation: str):
    """float64 `[4, 4]`: indices in another order of axes, to the grid's own.

    Args:
        grid: a `GridTensor`.
        orientation: such as "LIA".
    """
    world, signs = _nearest_world_axes(grid.affine)
    wanted = [WORLD_AXES[letter] for letter in orientation]
    rows = []
    for axis in range(3):
        along = [tf.cast(world[axis] == row, tf.float64) * sign for row, sign in wanted]
        rows.append(signs[axis] * tf.stack(along))
    turn = tf.stack(rows)
    last = tf.cast(grid.shape - 1, tf.float64)
    shift = tf.where(tf.reduce_sum(turn, axis=1) < 0, last, 0.0)
    return homogeneous(turn, shift)


def reordered(grid, orientation: str):
    """The same voxels, named in another order, as a `GridTensor`."""
    step = reordering(grid, orientation)
    sizes = tf.abs(tf.linalg.matvec(step[:3, :3], tf.cast(grid.shape, tf.float64), transpose_a=True))
    return GridTensor(tf.cast(tf.round(sizes), tf.int32), grid.affine @ step)


def homogeneous(linear, shift):
    """`[4, 4]` from `[3, 3]` and `[3]`."""
    return tf.concat([tf.concat([linear, shift[:, None]], axis=1), [[0.0, 0.0, 0.0, 1.0]]], axis=0)


def _nearest_world_axes(affine):
    """(world axis, sign) of each axis, every world axis once, as `nibabel.io_orientation` assigns them."""
    linear = affine[:3, :3]
    _, left, right = tf.linalg.svd(linear / tf.norm(linear, axis=0))
    rotation = tf.matmul(left, right, transpose_b=True)
    axes, signs, free = [], [], tf.ones(3, tf.float64)
    for axis in range(3):
        column = rotation[:, axis] * free
        row = tf.argmax(tf.abs(column), output_type=tf.int32)
        axes.append(row)
        signs.append(tf.where(column[row] < 0, tf.constant(-1.0, tf.float64), 1.0))
        free *= 1.0 - tf.one_hot(row, 3, dtype=tf.float64)
    return axes, signs
