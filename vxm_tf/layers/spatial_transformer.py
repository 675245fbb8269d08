"""The layer that warps an image."""

import keras

from vxm_tf import ops


@keras.saving.register_keras_serializable(package="vxm_tf")
class SpatialTransformer(keras.layers.Layer):
    """Warps an image: moved(x) = moving(x + displacement(x)).

    Computes in float32 under every precision policy. Source: Jaderberg et al., NeurIPS 2015;
    Balakrishnan et al., CVPR 2018, section 3.2.

    Args:
        interpolation: "linear", or "nearest" for labels.
        fill_mode: outside the image, "nearest" repeats the edge and "constant" gives `fill_value`.
        fill_value: see `fill_mode`.

    Call arguments:
        image: `[batch, *any, channels]`.
        displacement: `[batch, *spatial, ndim]`, in voxels, `ij` order.

    Output shape:
        `[batch, *spatial, channels]`.

    Raises:
        ValueError: unknown option, or shapes that do not belong together.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.layers import SpatialTransformer
    >>> image = np.random.rand(1, 8, 9, 10, 1).astype("float32")
    >>> moved = SpatialTransformer()(image, np.zeros((1, 8, 9, 10, 3), "float32"))
    >>> bool((np.asarray(moved) == image).all())
    True
    """

    def __init__(self, interpolation="linear", *, fill_mode="nearest", fill_value=0.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        ops.sampling.check_sampling(interpolation, fill_mode)
        self.interpolation = interpolation
        self.fill_mode = fill_mode
        self.fill_value = fill_value

    def call(self, image, displacement):
        return ops.warp(image, displacement, self.interpolation, self.fill_mode, self.fill_value)

    def compute_output_shape(self, image_shape, displacement_shape):
        return (*displacement_shape[:-1], image_shape[-1])

    def get_config(self):
        settings = {"interpolation": self.interpolation, "fill_mode": self.fill_mode, "fill_value": self.fill_value}
        return {**super().get_config(), **settings}
