"""Volumes on other grids, in a graph: `vxm_tf.spatial.resampling` for one channel and affine steps."""

import tensorflow as tf

from vxm_tf.ops.sampling import sample_at
from vxm_tf.serving.graph.conditions import after, require

# scipy.ndimage.gaussian_filter ends its kernels so many sigmas away.
TRUNCATE = 4.0
# A volume with voxels this much finer than the other's shows no more than a dot of it.
MAX_RATIO = 500.0
# A Gaussian along an axis is a square matrix of that size.
MAX_SIZE = 4096


def step_between(grid, to_grid):
    """float64 `[4, 4]`: indices of `to_grid` to indices of `grid`."""
    return tf.linalg.solve(grid.affine, to_grid.affine)


def indices(step, shape):
    """Where the voxels of a grid lie in another: three float32 tensors `[1, x, y, z]`, indices with fractions.

    Args:
        step: float64 `[4, 4]`, indices of the grid to those of the other.
        shape: int32 `[3]`, of the grid.
    """
    axes = [tf.cast(tf.range(shape[k]), tf.float64) for k in range(3)]
    parts = [tf.reshape(axes[k], [-1 if a == k else 1 for a in range(3)]) for k in range(3)]
    found = []
    for row in range(3):
        steps = [tf.cast(step[row, k] * parts[k] + (step[row, 3] if k == 0 else 0.0), tf.float32) for k in range(3)]
        found.append((steps[0] + steps[1] + steps[2])[None])
    return found


def sampled(volume, coordinates, outside=None):
    """A volume `[x, y, z, channels]` at coordinates as `indices` gives them: float32 `[x', y', z', channels]`.

    Args:
        outside: value more than half a voxel beyond the outermost centres; None repeats the edge.
    """
    values = sample_at(volume[None], coordinates)[0]
    if outside is None:
        return values
    inside = True
    for coordinate, size in zip(coordinates, tf.unstack(tf.shape(volume)[:3])):
        inside &= (coordinate >= -0.5) & (coordinate <= tf.cast(size, tf.float32) - 0.5)
    return tf.where(inside[0][..., None], values, outside)


def smoothed_for(values, step, name):
    """A volume `[x, y, z]` without the detail that a coarser grid cannot hold.

    Args:
        step: float64 `[4, 4]`, indices of the coarser grid to the volume's.
        name: of the volume in errors.
    """
    ratios = tf.norm(step[:3, :3], axis=1)
    said = f"{name}: has voxels more than {MAX_RATIO:.0f} times finer than the grid to work on; along its axes"
    ratios = after([require(tf.reduce_all(ratios <= MAX_RATIO), said, ratios)], ratios)
    sigmas = tf.nn.relu((ratios - 1.0) / 2.0)
    return tf.cond(tf.reduce_all(sigmas < 0.05), lambda: values, lambda: _gaussian(values, sigmas, name))


def _gaussian(values, sigmas, name):
    shape = tf.shape(values)
    said = f"{name}: has more than {MAX_SIZE} voxels along an axis, too many to make it coarser; its shape is"
    shape = tf.unstack(after([require(tf.reduce_all(shape <= MAX_SIZE), said, shape)], shape))
    first, second, third = (_gaussian_matrix(size, sigma) for size, sigma in zip(shape, tf.unstack(sigmas)))
    values = tf.einsum("ia,abc->ibc", first, values)
    values = tf.einsum("jb,abc->ajc", second, values)
    return tf.einsum("kc,abc->abk", third, values)


def _gaussian_matrix(size, sigma):
    """float32 `[size, size]`: a Gaussian along an axis whose ends are repeated."""
    radius = tf.cast(TRUNCATE * sigma + 0.5, tf.int32)
    offsets = tf.range(-radius, radius + 1)
    weights = tf.exp(-0.5 * (tf.cast(offsets, tf.float64) / (sigma + 1e-12)) ** 2)
    weights /= tf.reduce_sum(weights)
    rows = tf.repeat(tf.range(size), 2 * radius + 1)
    columns = tf.clip_by_value(tf.reshape(tf.range(size)[:, None] + offsets, [-1]), 0, size - 1)
    sums = tf.math.unsorted_segment_sum(tf.tile(weights, [size]), rows * size + columns, size * size)
    return tf.cast(tf.reshape(sums, (size, size)), tf.float32)
