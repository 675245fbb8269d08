"""Pure functions on tensors: sampling, displacements, velocities, windows."""

from vxm_tf.ops.correlation import local_correlation
from vxm_tf.ops.differences import forward_differences, second_differences
from vxm_tf.ops.displacement import compose, resize, warp
from vxm_tf.ops.grid import identity_grid
from vxm_tf.ops.jacobian import jacobian_determinant
from vxm_tf.ops.sampling import sample
from vxm_tf.ops.velocity import integrate
from vxm_tf.ops.windows import window_mean

__all__ = [
    "compose",
    "forward_differences",
    "identity_grid",
    "integrate",
    "jacobian_determinant",
    "local_correlation",
    "resize",
    "sample",
    "second_differences",
    "warp",
    "window_mean",
]
