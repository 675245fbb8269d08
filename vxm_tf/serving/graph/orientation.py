"""Order and direction of a grid's axes, computed in a graph."""

from typing import NamedTuple

import tensorflow as tf

from vxm_tf.spatial.working_grid import WORLD_AXES


class GridTensor(NamedTuple):
    """A grid in world space.

    Attributes:
        shape: int32 `[3]`.
        affine: float64 `[4, 4]`, voxel indices to world millimetres, RAS+.
    """

    shape: tf.Tensor
    affine: tf.Tensor


def reordering(grid: GridTensor, orientation: str) -> tf.Tensor:
    """Matrix float64 `[4, 4]` from indices in another order of axes to the grid's own.

    Args:
        grid: the grid in its own order of axes.
        orientation: order and direction of the other axes, such as "LIA".
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


def reordered(grid: GridTensor, orientation: str) -> GridTensor:
    """The grid of the same voxels with its axes in another order and direction, such as "LIA"."""
    step = reordering(grid, orientation)
    sizes = tf.abs(tf.linalg.matvec(step[:3, :3], tf.cast(grid.shape, tf.float64), transpose_a=True))
    return GridTensor(tf.cast(tf.round(sizes), tf.int32), grid.affine @ step)


def homogeneous(linear: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Homogeneous matrix `[4, 4]` of a linear map `[3, 3]` and a shift `[3]`."""
    return tf.concat([tf.concat([linear, shift[:, None]], axis=1), [[0.0, 0.0, 0.0, 1.0]]], axis=0)


def _nearest_world_axes(affine: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """(world axes, signs) of the axes, every world axis once, assigned as by `nibabel.io_orientation`."""
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
