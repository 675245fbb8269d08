"""The layer that puts a displacement on a finer or coarser grid."""

from fractions import Fraction

import keras

from vxm_tf import ops


@keras.saving.register_keras_serializable(package="vxm_tf")
class ResizeDisplacement(keras.layers.Layer):
    """Resizes a field and rescales its vectors, each component by its own axis' ratio.

    Computes in float32 under every precision policy. Source: `vxm_tf.ops.resize`.

    Args:
        factor: new size over old size, for every axis; 2 doubles, 0.5 halves. Sizes round to the
            nearest integer, and the vectors follow the sizes, not the factor.
        rule: which voxels of the two grids belong together, see `vxm_tf.ops.resize`.

    Call arguments:
        displacement: `[batch, *spatial, ndim]`, in voxels of `spatial`.

    Output shape:
        `[batch, *round(factor * spatial), ndim]`, in voxels of the new grid.

    Raises:
        ValueError: a factor that is not positive, or an unknown rule.
    """

    def __init__(self, factor, *, rule="areas", **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if factor <= 0:
            raise ValueError(f"A displacement is resized by a positive factor; got {factor}.")
        ops.displacement.check_resize_rule(rule)
        self.factor = factor
        self.rule = rule

    def call(self, displacement):
        return ops.resize(displacement, self._new_shape(ops.voxel_grid.spatial_shape(displacement)), self.rule)

    def compute_output_shape(self, displacement_shape):
        return (displacement_shape[0], *self._new_shape(displacement_shape[1:-1]), displacement_shape[-1])

    def _new_shape(self, shape):
        ratio = Fraction(self.factor).limit_denominator(64)
        up, down = ratio.numerator, ratio.denominator
        return tuple(None if size is None else (2 * size * up + down) // (2 * down) for size in shape)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "rule": self.rule}
