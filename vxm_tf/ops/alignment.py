"""The force that pulls an image towards another one: the derivative of their local correlation."""

from collections.abc import Iterator

from keras import ops

from vxm_tf.ops.differences import shifted
from vxm_tf.ops.displacement import resize, warp_with_slopes
from vxm_tf.ops.fusion import fused
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32, check_field, spatial_shape
from vxm_tf.ops.windows import window_mean

CELL = 2
"""Edge length of a cell of the displacement's grid, in voxels of the image."""
# Added to the product of two variances, so that a flat window exerts no force.
_FLAT = 1e-5


def alignment_force(image: Tensor, other: Tensor, displacement: Tensor, window: int = 5) -> Tensor:
    """Derivative of the local correlation of a moved image with another one, with respect to the displacement.

    With c the correlation of the two images within a box, S the sum of c^2 over all boxes and u the displacement, the
    force is dS / du in closed form: for the moved image m and the other image f it is the slope of m times

        p (f - mean f) - q (m - mean m),  p = cov / (var m var f),  q = p^2 var f,

    summed over the boxes that hold a voxel, and then over the voxels that a cell's displacement moves. Contrast and
    brightness may differ, and contrast may be inverted. The result is exact except in boxes that the
    border cuts. Sources: local correlation as in `losses.LNCC`; its derivative after Avants et al., Medical Image
    Analysis 2008.

    Args:
        image: `[batch, *spatial, channels]`, intensities in [0, 1], even spatial sizes.
        other: the image that attracts, in the shape of `image`. Channels are scored one by one; their forces add up.
        displacement: `[batch, *spatial / 2, ndim]`, in cells: moved(x) = image(x + u(x)) with u on the image's grid.
        window: odd edge length of the boxes, in cells of two voxels.

    Returns:
        The force `[batch, *spatial / 2, ndim]`, float32, per cell.

    Raises:
        ValueError: images of different shapes or of odd size, a displacement of another grid, or a window that is
            even or less than 1.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import ops
    >>> wave = np.sin(np.arange(32) / 3.0).astype("float32")[None, :, None]
    >>> force = ops.alignment_force(wave, np.roll(wave, 1, axis=1), np.zeros((1, 16, 1), "float32"))
    >>> bool((np.asarray(force)[0, 3:-3] < 0).all())
    True
    """
    _check(image, other, displacement)
    fine = resize(displacement, [CELL * size for size in spatial_shape(displacement)])
    return _force(as_float32(other), *warp_with_slopes(image, fine), window)


def _check(image: Tensor, other: Tensor, displacement: Tensor) -> None:
    check_field(displacement)
    if tuple(image.shape) != tuple(other.shape):
        raise ValueError(
            f"An image is pulled towards another on its grid; got shapes {tuple(image.shape)} and {tuple(other.shape)}."
        )
    sizes = zip(image.shape[1:-1], displacement.shape[1:-1])
    if len(image.shape) != len(displacement.shape) or any(
        voxels is not None and cells is not None and voxels != CELL * cells for voxels, cells in sizes
    ):
        raise ValueError(
            "A cell of the displacement is two voxels wide, so images have twice its size, an even one; got images of "
            f"shape {tuple(image.shape)} and a displacement of shape {tuple(displacement.shape)}. Pad the images."
        )


@fused
def _force(other: Tensor, moved: Tensor, *slopes_and_window: Tensor | int) -> Tensor:
    *slopes, window = slopes_and_window
    mean = window_mean(_cell_mean(moved), window)
    mean_other = window_mean(_cell_mean(other), window)
    # Rounding can leave a flat window's variance a little below zero.
    variance = ops.maximum(window_mean(_cell_mean(moved * moved), window) - mean * mean, 0.0)
    variance_other = ops.maximum(window_mean(_cell_mean(other * other), window) - mean_other * mean_other, 0.0)
    covariance = window_mean(_cell_mean(moved * other), window) - mean * mean_other
    p = covariance / (variance * variance_other + _FLAT)
    q = p * p * variance_other
    near = window_mean(ops.concatenate([p, q, q * mean - p * mean_other], axis=-1), window)
    p, q, rest = ops.split(_to_voxels(near), 3, axis=-1)
    pull = 2.0 * CELL * (p * other - q * moved + rest)
    return _to_cells(ops.stack([ops.sum(pull * slope, axis=-1) for slope in slopes], axis=-1))


def _halves(tensor: Tensor, axis: int) -> Iterator[Tensor]:
    """The first and the second voxel of each cell along one axis."""
    index = [slice(None)] * len(tensor.shape)
    return (tensor[(*index[:axis], slice(start, None, CELL), *index[axis + 1 :])] for start in range(CELL))


def _cell_mean(tensor: Tensor) -> Tensor:
    """Mean of each cell's voxels, axis by axis; compiled, this takes half the time of a pooling layer."""
    for axis in range(1, len(tensor.shape) - 1):
        first, second = _halves(tensor, axis)
        tensor = 0.5 * (first + second)
    return tensor


def _to_voxels(cells: Tensor) -> Tensor:
    """Repeat each cell's value on all its voxels."""
    for axis in range(1, len(cells.shape) - 1):
        cells = ops.repeat(cells, CELL, axis=axis)
    return cells


def _to_cells(tensor: Tensor) -> Tensor:
    """Sum over the voxels that each cell's displacement moves, weighted as in `resize`, over the voxels of a cell."""
    for axis in range(1, len(tensor.shape) - 1):
        first, second = _halves(tensor, axis)
        # Voxels at the border lie outside all cell centres, so only the nearest cell moves them.
        before = ops.concatenate([shifted(first, axis, 0, 1), shifted(second, axis, 0, -1)], axis=axis)
        behind = ops.concatenate([shifted(first, axis, 1), shifted(second, axis, -1)], axis=axis)
        tensor = 0.5 * (0.75 * (first + second) + 0.25 * (before + behind))
    return tensor


def swapped(both: Tensor) -> Tensor:
    """Exchange the two halves of a batch."""
    first, second = ops.split(both, 2, axis=0)
    return ops.concatenate([second, first], axis=0)
