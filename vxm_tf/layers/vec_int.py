"""The layer that integrates a velocity field."""

from typing import Any

import keras

from vxm_tf import ops
from vxm_tf.ops.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="vxm_tf")
class VecInt(keras.layers.Layer):
    """Integrates a stationary velocity field into a displacement, by scaling and squaring.

    Computes in float32 under every precision policy. Source: `vxm_tf.ops.integrate`.

    Args:
        steps: number of squarings; the field is first divided by 2^steps. 0 returns the field as it is.

    Call arguments:
        velocity: `[batch, *spatial, ndim]`, voxels per unit of time.

    Output shape:
        `[batch, *spatial, ndim]`, a displacement in voxels.

    Raises:
        ValueError: negative `steps`, or a field whose last axis is not `ndim`.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.layers import VecInt
    >>> displacement = VecInt(steps=7)(np.full((1, 6, 7, 2), 0.5, "float32"))
    >>> bool(np.allclose(displacement, 0.5))
    True
    """

    def __init__(self, steps: int = 7, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if steps < 0:
            raise ValueError(f"The number of integration steps is 0 or more; got {steps}.")
        self.steps = steps

    def call(self, velocity: Tensor) -> Tensor:
        return ops.integrate(velocity, self.steps)

    def compute_output_shape(self, velocity_shape: Shape) -> Shape:
        return velocity_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "steps": self.steps}
