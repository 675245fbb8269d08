"""The layer that turns images of any contrast into images of their edges."""

from typing import Any

import keras

from vxm_tf import ops
from vxm_tf.ops.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="vxm_tf")
class EdgeStrength(keras.layers.Layer):
    """Computes the edge strength of each voxel, which depends little on the contrast of the image.

    Computes in float32 under every precision policy. Source: `vxm_tf.ops.edge_strength`.

    Call arguments:
        image: `[batch, *spatial, channels]`, at least 2 voxels along each axis.

    Output shape:
        `[batch, *spatial, channels]`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, image: Tensor) -> Tensor:
        return ops.edge_strength(image)

    def compute_output_shape(self, image_shape: Shape) -> Shape:
        return image_shape
