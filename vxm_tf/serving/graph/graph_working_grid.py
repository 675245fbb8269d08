"""The grid that a pair is registered on, computed in a graph as by `vxm_tf.spatial.working_grid`."""

import itertools

import numpy as np
import tensorflow as tf

from vxm_tf.ops.tensors import Shape
from vxm_tf.serving.graph.conditions import after, not_too_large
from vxm_tf.serving.graph.orientation import GridTensor, homogeneous, reordered
from vxm_tf.spatial.grid import LATTICE_TOLERANCE
from vxm_tf.spatial.working_grid import WORLD_AXES, GridSettings

# A volume of a few voxels, each very large by its header, could ask for a grid of any size, and a network computes
# dozens of numbers for each voxel.
MAX_VOXELS = 2**24


def working_grid(fixed: GridTensor, box: tf.Tensor, settings: GridSettings) -> GridTensor:
    """A grid with a network's spacing and orientation, and its shape where the content fits in.

    Args:
        fixed: grid of the fixed image.
        box: float64 `[3, 2]`, first and last index of each of its axes that must be covered.
        settings: the grid that the network expects.
    """
    own = reordered(fixed, settings.orientation) if settings.orientation else fixed
    own_linear = own.affine[:3, :3]
    own_spacing = tf.norm(own_linear, axis=0)
    axes = _directions(settings.orientation) if settings.orientation else own_linear / own_spacing
    spacing = tf.constant(settings.spacing_mm, tf.float64) if settings.spacing_mm else own_spacing
    parallel = _close(axes * own_spacing, own_linear, 1e-4 * tf.reduce_min(own_spacing))
    nearly = tf.abs(spacing / own_spacing - 1.0) < LATTICE_TOLERANCE
    steps = axes * tf.where(parallel & nearly, own_spacing, spacing)
    same_lattice = _close(steps, own_linear, 1e-6)
    steps = tf.where(same_lattice, own_linear, steps)
    covering = _covering(fixed, box, steps, own, same_lattice, settings.shape)
    if settings.shape is not None:
        same_grid = same_lattice & tf.reduce_all(own.shape == settings.shape)
        covering = GridTensor(*(tf.where(same_grid, a, b) for a, b in zip(own, covering)))
    name = "the grid to work on, from the headers' voxel sizes and fields of view"
    check = not_too_large(covering.shape, name, MAX_VOXELS)
    return GridTensor(after([check], covering.shape), covering.affine)


def _covering(
    fixed: GridTensor, box: tf.Tensor, steps: tf.Tensor, own: GridTensor, same_lattice: tf.Tensor, least: Shape | None
) -> GridTensor:
    """The smallest grid of these steps that covers the box and has at least the shape `least`."""
    low, high = _extent(fixed, box, steps)
    # Larger grids are refused later; until then, the conversion to integers must not overflow.
    needed = tf.cast(tf.minimum(tf.math.ceil(high - low - 1e-3), 1e6), tf.int32) + 1
    shape = tf.maximum(needed, least) if least is not None else needed
    first = (low + high) / 2.0 - tf.cast(shape - 1, tf.float64) / 2.0
    phase = _solve(steps, own.affine[:3, 3])
    first = tf.where(same_lattice, tf.math.ceil(first - phase - 0.5 - LATTICE_TOLERANCE) + phase, first)
    return GridTensor(shape, homogeneous(steps, tf.linalg.matvec(steps, first)))


def _directions(orientation: str) -> tf.Tensor:
    """Unit vectors of an orientation's axes in world space, as the columns of a matrix `[3, 3]`."""
    axes = np.zeros((3, 3))
    for column, letter in enumerate(orientation):
        row, sign = WORLD_AXES[letter]
        axes[row, column] = sign
    return tf.constant(axes)


def _extent(grid: GridTensor, box: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(lowest, highest) index `[3]` of the box along the new steps."""
    corners = [tf.stack([box[k, end] for k, end in enumerate(ends)]) for ends in itertools.product((0, 1), repeat=3)]
    places = [tf.linalg.matvec(grid.affine[:3, :3], corner) + grid.affine[:3, 3] for corner in corners]
    indices = tf.stack([_solve(steps, place) for place in places])
    return tf.reduce_min(indices, axis=0), tf.reduce_max(indices, axis=0)


def _solve(matrix: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
    return tf.linalg.solve(matrix, vector[:, None])[:, 0]


def _close(first: tf.Tensor, second: tf.Tensor, tolerance: float | tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(tf.abs(first - second) <= tolerance + 1e-5 * tf.abs(second))
