"""How alike the features of two images are, voxel by voxel and shift by shift."""

import itertools

from keras import ops

from vxm_tf.ops.fusion import fused
from vxm_tf.ops.grid import as_float32, spatial_shape


def local_correlation(first, second, radius: int = 1):
    """Mean over channels of first(x) * second(x + d), for every shift d within `radius` of each axis.

    Beyond its border `second` is 0. Source: the cost volume of Sun et al. (PWC-Net), CVPR 2018, equation 2.

    Args:
        first: `[batch, *spatial, channels]`.
        second: the same shape.
        radius: largest shift along each axis, in voxels.

    Returns:
        `[batch, *spatial, (2 radius + 1)^ndim]`, float32; shifts in order, the last axis' fastest.

    Raises:
        ValueError: a negative radius, or features of different shapes.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import ops
    >>> first, second = np.array([[1.0, 2.0, 3.0], [5.0, 7.0, 11.0]], "float32")[:, None, :, None]
    >>> np.asarray(ops.local_correlation(first, second))[0, 1].tolist()
    [10.0, 14.0, 22.0]
    """
    if radius < 0:
        raise ValueError(f"The radius of a correlation is 0 or more voxels; got {radius}.")
    if len(first.shape) != len(second.shape) or first.shape[-1] != second.shape[-1]:
        raise ValueError(
            f"Features are correlated voxel by voxel, on one grid with equal channels; got shapes "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    return _local_correlation(as_float32(first), as_float32(second), radius)


@fused
def _local_correlation(first, second, radius):
    shape = spatial_shape(first)
    padded = ops.pad(second, [(0, 0), *((radius, radius) for _ in shape), (0, 0)])
    planes = []
    for starts in itertools.product(range(2 * radius + 1), repeat=len(shape)):
        window = padded[(slice(None), *(slice(start, start + size) for start, size in zip(starts, shape)))]
        planes.append(ops.mean(first * window, axis=-1))
    return ops.stack(planes, axis=-1)
