"""Where each of two images should move to look more like the other."""

from keras import ops

from vxm_tf.ops.differences import central_differences
from vxm_tf.ops.fusion import fused
from vxm_tf.ops.grid import as_float32
from vxm_tf.ops.windows import window_mean

CELL = 2
"""Voxels of the image, along each axis, to a cell of the force's grid."""
_FLAT = 1e-5


def alignment_force(first, second, window: int = 5, damping: float = 0.1):
    """The step of each image towards the other that raises their local correlation, without any search.

    With z an image less its local mean over its local standard deviation, and c the local correlation of the two,
    c z1 is what z1 says of z2. Moving the first image by u should close the gap z2 - c z1. One Gauss-Newton step in a
    small neighbourhood, damped, and weighted with c so that what does not correlate does not pull, is

        u = mean(c (z2 - c z1) grad z1) / (mean(|grad z1|^2) + damping).

    As the squared norm stands for the whole structure tensor, a step is short by up to `ndim` times. Contrast and
    brightness may differ, and contrast may be inverted. Sources: the least squares of Lucas and Kanade, IJCAI 1981;
    the symmetric forces of Thirion's demons, Medical Image Analysis 1998; local correlation as in `losses.LNCC`.

    Args:
        first: `[batch, *spatial, channels]`, intensities in [0, 1], even spatial sizes.
        second: the same shape. Channels are scored one by one and pull together.
        window: odd edge length of the box of the local mean, deviation and correlation, in cells of two voxels.
        damping: added to the squared gradient, of images with a local deviation of 1, per voxel squared.

    Returns:
        (force on the first, force on the second, correlation): the forces `[batch, *spatial / 2, ndim]`, float32, a
        displacement in cells; the correlation `[batch, *spatial / 2, 1]`, from -1 to 1.

    Raises:
        ValueError: images of different shapes or of odd size, or a window that is even or less than 1.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import ops
    >>> wave = np.sin(np.arange(32) / 3.0).astype("float32")[None, :, None]
    >>> force, *_ = ops.alignment_force(wave, np.roll(wave, 1, axis=1))
    >>> bool((np.asarray(force)[0, 4:-4] < 0).all())
    True
    """
    if tuple(first.shape) != tuple(second.shape):
        raise ValueError(
            f"Two images pull at each other on one grid; got shapes {tuple(first.shape)} and {tuple(second.shape)}."
        )
    if any(size is not None and size % CELL for size in first.shape[1:-1]):
        raise ValueError(f"A cell is two voxels wide, so sizes are even; got shape {tuple(first.shape)}. Pad it.")
    both = ops.concatenate([as_float32(first), as_float32(second)], axis=0)
    one, two = ops.split(_forces(both, window, damping), 2, axis=0)
    return one[..., :-1], two[..., :-1], one[..., -1:]


@fused
def _forces(both, window, damping):
    """Force and correlation of both images, `[2 batch, *cells, ndim + 1]`."""
    mean = window_mean(_cell_mean(both), window)
    # Rounding can leave a flat window's variance a little below zero.
    variance = ops.maximum(window_mean(_cell_mean(both * both), window) - mean * mean, 0.0)
    covariance = window_mean(_cell_mean(_product(both)), window) - _product(mean)
    inverse = ops.rsqrt(variance + _FLAT)
    correlation = ops.tile(covariance * _product(inverse), [2] + [1] * (len(both.shape) - 1))
    normal = (both - _to_voxels(mean)) * _to_voxels(inverse)
    regression = _to_voxels(correlation)
    pull = regression * (swapped(normal) - regression * normal)
    slopes = [central_differences(both, axis) for axis in range(1, len(both.shape) - 1)]
    right = [ops.sum(_cell_mean(pull * slope) * inverse, axis=-1) for slope in slopes]
    left = ops.sum(_cell_mean(sum(slope * slope for slope in slopes)) * inverse * inverse, axis=-1)
    near = window_mean(ops.stack([*right, left], axis=-1), 3)
    force = near[..., :-1] / (CELL * (near[..., -1:] + damping))
    return ops.concatenate([force, ops.mean(correlation, axis=-1, keepdims=True)], axis=-1)


def _cell_mean(tensor):
    """Mean of each cell's voxels, axis by axis: compiled, half the time of a pooling layer's."""
    for axis in range(1, len(tensor.shape) - 1):
        index = [slice(None)] * len(tensor.shape)
        even, odd = ((*index[:axis], slice(start, None, CELL), *index[axis + 1 :]) for start in range(CELL))
        tensor = 0.5 * (tensor[even] + tensor[odd])
    return tensor


def _to_voxels(cells):
    """Each cell's value on its voxels."""
    for axis in range(1, len(cells.shape) - 1):
        cells = ops.repeat(cells, CELL, axis=axis)
    return cells


def swapped(both):
    """The two halves of a batch, the second first."""
    first, second = ops.split(both, 2, axis=0)
    return ops.concatenate([second, first], axis=0)


def _product(both):
    first, second = ops.split(both, 2, axis=0)
    return first * second
