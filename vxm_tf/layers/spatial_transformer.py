"""The layer that warps an image."""

from typing import Any

import keras

from vxm_tf import ops
from vxm_tf.ops.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="vxm_tf")
class SpatialTransformer(keras.layers.Layer):
    """Warps an image: moved(x) = moving(x + displacement(x)).

    Computes in float32 under every precision policy. Source: Jaderberg et al., NeurIPS 2015;
    Balakrishnan et al., CVPR 2018, section 3.2.

    Args:
        interpolation: "linear", or "nearest" for labels.
        fill_mode: outside the image, "nearest" repeats the edge and "constant" gives `fill_value`.
        fill_value: intensity outside the image for the fill mode "constant".

    Call arguments:
        image: `[batch, *any, channels]`.
        displacement: `[batch, *spatial, ndim]`, in voxels, `ij` order.

    Output shape:
        `[batch, *spatial, channels]`.

    Raises:
        ValueError: unknown option, or an image and a displacement with different numbers of spatial axes.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.layers import SpatialTransformer
    >>> image = np.random.rand(1, 8, 9, 10, 1).astype("float32")
    >>> moved = SpatialTransformer()(image, np.zeros((1, 8, 9, 10, 3), "float32"))
    >>> bool((np.asarray(moved) == image).all())
    True
    """

    def __init__(
        self, interpolation: str = "linear", *, fill_mode: str = "nearest", fill_value: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        ops.sampling.check_sampling(interpolation, fill_mode)
        self.interpolation = interpolation
        self.fill_mode = fill_mode
        self.fill_value = fill_value

    def call(self, image: Tensor, displacement: Tensor) -> Tensor:
        return ops.warp(image, displacement, self.interpolation, self.fill_mode, self.fill_value)

    def compute_output_shape(self, image_shape: Shape, displacement_shape: Shape) -> Shape:
        return (*displacement_shape[:-1], image_shape[-1])

    def get_config(self) -> dict[str, Any]:
        settings = {"interpolation": self.interpolation, "fill_mode": self.fill_mode, "fill_value": self.fill_value}
        return {**super().get_config(), **settings}
