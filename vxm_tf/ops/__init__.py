"""Pure functions on tensors: sampling, displacements, velocities and their prior, windows, edges, alignment."""

from vxm_tf.ops.alignment import alignment_force
from vxm_tf.ops.differences import forward_differences, second_differences
from vxm_tf.ops.displacement import compose, resize, warp
from vxm_tf.ops.edges import edge_strength
from vxm_tf.ops.jacobian import jacobian_determinant
from vxm_tf.ops.prior import neighbour_correlation, prior_noise
from vxm_tf.ops.sampling import sample
from vxm_tf.ops.velocity import integrate
from vxm_tf.ops.voxel_grid import identity_grid
from vxm_tf.ops.windows import window_mean

__all__ = [
    "alignment_force",
    "compose",
    "edge_strength",
    "forward_differences",
    "identity_grid",
    "integrate",
    "jacobian_determinant",
    "neighbour_correlation",
    "prior_noise",
    "resize",
    "sample",
    "second_differences",
    "warp",
    "window_mean",
]
