"""Stationary velocity fields and the displacements they generate."""

from vxm_tf.ops.displacement import compose
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32, check_field


def integrate(velocity: Tensor, steps: int = 7) -> Tensor:
    """Displacement at time 1 of a stationary velocity field, by scaling and squaring.

    exp(v) = exp(v / 2^n)^(2^n): u = v / 2^n, then n times u = u o (id + u) + u (Arsigny et al.,
    MICCAI 2006; Dalca et al., MICCAI 2018, section 2.1). The inverse displacement is `integrate(-v)`.

    Args:
        velocity: `[batch, *spatial, ndim]`, voxels per unit of time.
        steps: number of squarings n; 0 returns the velocity as a displacement.

    Returns:
        The displacement `[batch, *spatial, ndim]`, float32, in voxels.

    Raises:
        ValueError: negative `steps`, or a field whose last axis is not `ndim`.
    """
    if steps < 0:
        raise ValueError(f"The number of integration steps is 0 or more; got {steps}.")
    check_field(velocity, "velocity")
    displacement = as_float32(velocity) / (2.0**steps)
    for _ in range(steps):
        displacement = compose(displacement, displacement)
    return displacement
