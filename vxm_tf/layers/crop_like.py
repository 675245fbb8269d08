"""The layer that removes padding."""

import keras

from vxm_tf.ops.tensors import Shape, Tensor
from vxm_tf.ops.voxel_grid import spatial_shape


@keras.saving.register_keras_serializable(package="vxm_tf")
class CropLike(keras.layers.Layer):
    """Crops a tensor to the spatial shape of a reference, by keeping the first voxels along every axis.

    Call arguments:
        tensor: `[batch, *padded, channels]`.
        reference: `[batch, *spatial, any]`.

    Output shape:
        `[batch, *spatial, channels]`.
    """

    def call(self, tensor: Tensor, reference: Tensor) -> Tensor:
        shape, padded = spatial_shape(reference), spatial_shape(tensor)
        if all(isinstance(size, int) for size in (*shape, *padded)) and shape == padded:
            return tensor
        return tensor[(slice(None), *(slice(0, size) for size in shape))]

    def compute_output_shape(self, tensor_shape: Shape, reference_shape: Shape) -> Shape:
        return (tensor_shape[0], *reference_shape[1:-1], tensor_shape[-1])
