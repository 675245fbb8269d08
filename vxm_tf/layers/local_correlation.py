"""The layer that compares the features of two images around every voxel."""

import keras

from vxm_tf import ops


@keras.saving.register_keras_serializable(package="vxm_tf")
class LocalCorrelation(keras.layers.Layer):
    """Mean product of two images' features at every shift of one of them by a few voxels.

    Computes in float32 under every precision policy. Source: `vxm_tf.ops.local_correlation`.

    Args:
        radius: largest shift along each axis, in voxels.

    Call arguments:
        first, second: `[batch, *spatial, channels]`, one shape.

    Output shape:
        `[batch, *spatial, (2 radius + 1)^ndim]`.

    Raises:
        ValueError: a negative radius, or features of different shapes.
    """

    def __init__(self, radius=1, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if radius < 0:
            raise ValueError(f"The radius of a correlation is 0 or more voxels; got {radius}.")
        self.radius = radius

    def call(self, first, second):
        return ops.local_correlation(first, second, self.radius)

    def compute_output_shape(self, first_shape, second_shape):
        return (*first_shape[:-1], (2 * self.radius + 1) ** (len(first_shape) - 2))

    def get_config(self):
        return {**super().get_config(), "radius": self.radius}
