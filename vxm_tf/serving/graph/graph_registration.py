"""Registration of two scans in world space, in a graph: `vxm_tf.registration.register_images` without files."""

import math
from collections.abc import Callable

import tensorflow as tf

from vxm_tf.serving.graph.conditions import after, require
from vxm_tf.serving.graph.graph_resampling import indices, sampled, smoothed_for, step_between
from vxm_tf.serving.graph.graph_working_grid import working_grid
from vxm_tf.serving.graph.intensity import background_value, content_box, normalize
from vxm_tf.serving.graph.nifti_reading import NiftiVolume
from vxm_tf.serving.graph.orientation import GridTensor, reordered, reordering
from vxm_tf.spatial.working_grid import GridSettings

OVERLAP_POINTS = 12


def register_native(
    predict: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    moving: NiftiVolume,
    fixed: NiftiVolume,
    settings: GridSettings,
    normalization: str,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The moving image on the fixed grid, and the displacement there.

    Headers say where the images lie; no affine transform is searched for.

    Args:
        predict: function from `moving` and `fixed`, float32 `[1, x, y, z, 1]`, normalised, to the displacement
            `[1, x, y, z, 3]` in voxels.
        moving: moving volume.
        fixed: fixed volume.
        settings: the grid that the network expects.
        normalization: name of the method that normalises intensities for the network.

    Returns:
        (moved float32 `[x, y, z]` in the moving image's intensities, displacement float32 `[x, y, z, 3]` in world
        millimetres, RAS+), both on the fixed image's grid.
    """
    moving_grid, fixed_grid = _grid(moving), _grid(fixed)
    fixed_values = after([_overlap(moving_grid, fixed_grid)], fixed.values)
    rounded = [_rounded(g) if settings.orientation else g for g in (moving_grid, fixed_grid)]
    grid = _working_grid(rounded[1], fixed_values, settings)
    images = [
        normalize(_on_grid(values, own, grid, name), normalization, name)[None, ..., None]
        for values, own, name in ((moving.values, rounded[0], "moving"), (fixed_values, rounded[1], "fixed"))
    ]
    displacement_mm = _in_mm(predict(*images)[0], grid)
    # The network's grid is free of rounding, the fixed image's own is as its header has it.
    on_fixed = sampled(displacement_mm, indices(step_between(grid, fixed_grid), fixed_grid.shape))
    return _moved(moving.values, moving_grid, fixed_grid, on_fixed), on_fixed


def _grid(volume: NiftiVolume) -> GridTensor:
    return GridTensor(tf.shape(volume.values), volume.affine)


def _rounded(grid: GridTensor) -> GridTensor:
    """A grid without the rounding errors of headers, as `register_images` computes it, in its own order of axes."""
    upright = reordered(grid, "RAS").affine
    smallest_mm = tf.reduce_min(tf.norm(upright[:3, :3], axis=0))
    smaller = tf.nn.relu(-tf.floor(tf.math.log(smallest_mm) / math.log(10.0) + 1e-9) - 1.0)
    decimals = tf.pow(tf.constant(10.0, tf.float64), tf.constant([6.0, 6.0, 6.0, 3.0], tf.float64) + smaller)
    upright = tf.round(upright * decimals) / decimals
    return GridTensor(grid.shape, tf.matmul(upright, tf.linalg.inv(reordering(grid, "RAS"))))


def _overlap(moving: GridTensor, fixed: GridTensor) -> tf.Operation:
    """A check that some of the fixed field of view lies in the moving one."""
    zero = tf.zeros([], tf.float64)
    places = [tf.linspace(zero, last, OVERLAP_POINTS) for last in tf.unstack(tf.cast(fixed.shape - 1, tf.float64))]
    points = tf.stack(tf.meshgrid(*places, indexing="ij"), axis=-1)
    step = step_between(moving, fixed)
    places = tf.linalg.matvec(step[:3, :3], points) + step[:3, 3]
    inside = tf.reduce_all((places >= -0.5) & (places <= tf.cast(moving.shape, tf.float64) - 0.5), axis=-1)
    centres = [_centre_mm(grid) for grid in (moving, fixed)]
    message = "moving and fixed have no common place in world space; their fields of view are centred, in mm, at"
    return require(tf.reduce_any(inside), message, *centres)


def _centre_mm(grid: GridTensor) -> tf.Tensor:
    middle = tf.cast(grid.shape - 1, tf.float64) / 2.0
    return tf.linalg.matvec(grid.affine[:3, :3], middle) + grid.affine[:3, 3]


def _working_grid(fixed: GridTensor, values: tf.Tensor, settings: GridSettings) -> GridTensor:
    if settings == GridSettings():
        return fixed
    last = tf.cast(fixed.shape - 1, tf.float64)
    box = content_box(values) if settings.shape else tf.stack([0.0 * last, last], axis=1)
    return working_grid(fixed, box, settings)


def _on_grid(values: tf.Tensor, own: GridTensor, grid: GridTensor, name: str) -> tf.Tensor:
    """A volume `[x, y, z]` resampled by one interpolation, its edge repeated, without detail finer than the grid."""
    step = step_between(own, grid)
    smooth = smoothed_for(values, step, name)
    return sampled(smooth[..., None], indices(step, grid.shape))[..., 0]


def _in_mm(displacement: tf.Tensor, grid: GridTensor) -> tf.Tensor:
    return _turned(displacement, grid.affine[:3, :3])


def _turned(vectors: tf.Tensor, linear: tf.Tensor) -> tf.Tensor:
    """`linear` times each vector of `[x, y, z, 3]`.

    Computed as one product of two matrices, because oneDNN's product of a batch with a broadcast matrix writes beyond
    its memory where an axis of the batch has a single voxel (TensorFlow 2.21).
    """
    rows = tf.linalg.matmul(tf.reshape(vectors, [-1, 3]), tf.cast(linear, tf.float32), transpose_b=True)
    return tf.reshape(rows, tf.shape(vectors))


def _moved(values: tf.Tensor, moving: GridTensor, fixed: GridTensor, displacement_mm: tf.Tensor) -> tf.Tensor:
    """The moving image on the fixed grid by one interpolation, its background outside its field of view."""
    shifts = _turned(displacement_mm, tf.linalg.inv(moving.affine[:3, :3]))
    there = indices(step_between(moving, fixed), fixed.shape)
    places = [there[k] + shifts[None, ..., k] for k in range(3)]
    return sampled(values[..., None], places, outside=background_value(values))[..., 0]
