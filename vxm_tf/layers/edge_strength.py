"""The layer that turns images of any contrast into what they have in common."""

import keras

from vxm_tf import ops


@keras.saving.register_keras_serializable(package="vxm_tf")
class EdgeStrength(keras.layers.Layer):
    """How much an image changes at each voxel, whatever its contrast.

    Computes in float32 under every precision policy. Source: `vxm_tf.ops.edge_strength`.

    Call arguments:
        image: `[batch, *spatial, channels]`, at least 2 voxels an axis.

    Output shape:
        That of the image.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, image):
        return ops.edge_strength(image)

    def compute_output_shape(self, image_shape):
        return image_shape
