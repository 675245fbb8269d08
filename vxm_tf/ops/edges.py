"""The strength of an image's edges."""

from keras import ops

from vxm_tf.ops.differences import central_differences
from vxm_tf.ops.fusion import fused
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32

_TINY = 1e-10


def edge_strength(image: Tensor) -> Tensor:
    """Edge strength sqrt(|grad I| / (3 r)) of each voxel, with r the root mean square of |grad I| over the image.

    An image and its inverse have equal edge strengths, and images of unlike contrast have similar ones, because their
    edges lie in the same places. The root lets faint edges count beside strong ones. Brightness and scale have no
    influence.

    Args:
        image: `[batch, *spatial, channels]`, at least 2 voxels along each axis.

    Returns:
        `[batch, *spatial, channels]`, float32, each channel on its own: 0 where the image is flat, rarely more than 1.

    Example:

    >>> import numpy as np
    >>> from vxm_tf import ops
    >>> step = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], "float32").reshape(1, 6, 1)
    >>> [round(float(value), 2) for value in ops.edge_strength(step)[0, :, 0]]
    [0.0, 0.0, 0.76, 0.76, 0.0, 0.0]
    """
    return _edge_strength(as_float32(image))


@fused
def _edge_strength(image: Tensor) -> Tensor:
    axes = tuple(range(1, len(image.shape) - 1))
    squares = sum(ops.square(central_differences(image, axis)) for axis in axes)
    mean = ops.mean(squares, axis=axes, keepdims=True)
    # A root has no derivative at 0; the small number bounds it.
    return ops.power(squares / (9.0 * mean + _TINY) + _TINY, 0.25) - _TINY**0.25
