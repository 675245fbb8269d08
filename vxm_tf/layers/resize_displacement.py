"""The layer that puts a displacement on a finer or coarser grid."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import keras

from vxm_tf import ops
from vxm_tf.ops.tensors import Shape, Tensor
from vxm_tf.ops.voxel_grid import spatial_shape


@keras.saving.register_keras_serializable(package="vxm_tf")
class ResizeDisplacement(keras.layers.Layer):
    """Resizes a field and rescales its vectors, each component by the ratio of sizes along its axis.

    Computes in float32 under every precision policy. Source: `vxm_tf.ops.resize`.

    Args:
        factor: new size over old size, for every axis; 2 doubles, 0.5 halves. Sizes are rounded to the
            nearest integer, and the vectors are scaled by the ratio of the sizes, not by the factor.
        rule: correspondence between the two grids: "areas", "corners" or "origin", see `vxm_tf.ops.resize`.

    Call arguments:
        displacement: `[batch, *spatial, ndim]`, in voxels of `spatial`.

    Output shape:
        `[batch, *round(factor * spatial), ndim]`, in voxels of the new grid.

    Raises:
        ValueError: a factor that is not positive, or an unknown rule.
    """

    def __init__(self, factor: float, *, rule: str = "areas", **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if factor <= 0:
            raise ValueError(f"A displacement is resized by a positive factor; got {factor}.")
        ops.displacement.check_resize_rule(rule)
        self.factor = factor
        self.rule = rule

    def call(self, displacement: Tensor) -> Tensor:
        return ops.resize(displacement, self._new_shape(spatial_shape(displacement)), self.rule)

    def compute_output_shape(self, displacement_shape: Shape) -> Shape:
        return (displacement_shape[0], *self._new_shape(displacement_shape[1:-1]), displacement_shape[-1])

    def _new_shape(self, shape: Sequence[int | Tensor | None]) -> tuple:
        ratio = Fraction(self.factor).limit_denominator(64)
        up, down = ratio.numerator, ratio.denominator
        return tuple(None if size is None else (2 * size * up + down) // (2 * down) for size in shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor, "rule": self.rule}
