"""Resampling in a graph: `vxm_tf.spatial.resampling` for one channel and affine steps between grids."""

import tensorflow as tf

from vxm_tf.ops.sampling import sample_at
from vxm_tf.serving.graph.conditions import after, require
from vxm_tf.serving.graph.orientation import GridTensor

# Radius of the kernel in standard deviations, as in scipy.ndimage.gaussian_filter.
TRUNCATE = 4.0
# A volume whose voxels are finer by this factor covers no more than a dot of the other.
MAX_RATIO = 500.0
# Largest size of an axis to smooth, because the Gaussian along it is a square matrix of that size.
MAX_SIZE = 4096


def step_between(grid: GridTensor, to_grid: GridTensor) -> tf.Tensor:
    """Matrix float64 `[4, 4]` from indices of `to_grid` to indices of `grid`."""
    return tf.linalg.solve(grid.affine, to_grid.affine)


def indices(step: tf.Tensor, shape: tf.Tensor) -> list[tf.Tensor]:
    """Fractional indices in another grid of all voxels of a grid: three tensors float32 `[1, x, y, z]`.

    Args:
        step: matrix float64 `[4, 4]` from indices of the grid to those of the other.
        shape: int32 `[3]`, shape of the grid.
    """
    axes = [tf.cast(tf.range(shape[k]), tf.float64) for k in range(3)]
    parts = [tf.reshape(axes[k], [-1 if a == k else 1 for a in range(3)]) for k in range(3)]
    coordinates = []
    for row in range(3):
        steps = [tf.cast(step[row, k] * parts[k] + (step[row, 3] if k == 0 else 0.0), tf.float32) for k in range(3)]
        coordinates.append((steps[0] + steps[1] + steps[2])[None])
    return coordinates


def sampled(volume: tf.Tensor, coordinates: list[tf.Tensor], outside: tf.Tensor | float | None = None) -> tf.Tensor:
    """A volume interpolated linearly at coordinates, float32 `[x', y', z', channels]`.

    Args:
        volume: float32 `[x, y, z, channels]`.
        coordinates: fractional indices, as from `indices`.
        outside: value more than half a voxel beyond the outermost centres; None repeats the edge.
    """
    values = sample_at(volume[None], coordinates)[0]
    if outside is None:
        return values
    sizes = tf.unstack(tf.shape(volume)[:3])
    along = [(c >= -0.5) & (c <= tf.cast(size, tf.float32) - 0.5) for c, size in zip(coordinates, sizes)]
    return tf.where((along[0] & along[1] & along[2])[0][..., None], values, outside)


def smoothed_for(values: tf.Tensor, step: tf.Tensor, name: str) -> tf.Tensor:
    """A volume `[x, y, z]` without the detail that a coarser grid cannot hold.

    Args:
        values: float32 `[x, y, z]`.
        step: matrix float64 `[4, 4]` from indices of the coarser grid to those of the volume.
        name: name of the volume in errors.
    """
    ratios = tf.norm(step[:3, :3], axis=1)
    message = f"{name}: has voxels more than {MAX_RATIO:.0f} times finer than the grid to work on; along its axes"
    ratios = after([require(tf.reduce_all(ratios <= MAX_RATIO), message, ratios)], ratios)
    sigmas = tf.nn.relu((ratios - 1.0) / 2.0)
    return tf.cond(tf.reduce_all(sigmas < 0.05), lambda: values, lambda: _gaussian(values, sigmas, name))


def _gaussian(values: tf.Tensor, sigmas: tf.Tensor, name: str) -> tf.Tensor:
    shape = tf.shape(values)
    message = f"{name}: has more than {MAX_SIZE} voxels along an axis, too many to make it coarser; its shape is"
    sizes = tf.unstack(after([require(tf.reduce_all(shape <= MAX_SIZE), message, shape)], shape))
    first, second, third = (_gaussian_matrix(size, sigma) for size, sigma in zip(sizes, tf.unstack(sigmas)))
    values = tf.einsum("ia,abc->ibc", first, values)
    values = tf.einsum("jb,abc->ajc", second, values)
    return tf.einsum("kc,abc->abk", third, values)


def _gaussian_matrix(size: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Matrix float32 `[size, size]` that smooths along an axis by a Gaussian, with the ends of the axis repeated."""
    radius = tf.cast(TRUNCATE * sigma + 0.5, tf.int32)
    offsets = tf.range(-radius, radius + 1)
    weights = tf.exp(-0.5 * (tf.cast(offsets, tf.float64) / (sigma + 1e-12)) ** 2)
    weights /= tf.reduce_sum(weights)
    rows = tf.repeat(tf.range(size), 2 * radius + 1)
    columns = tf.clip_by_value(tf.reshape(tf.range(size)[:, None] + offsets, [-1]), 0, size - 1)
    sums = tf.math.unsorted_segment_sum(tf.tile(weights, [size]), rows * size + columns, size * size)
    return tf.cast(tf.reshape(sums, (size, size)), tf.float32)
