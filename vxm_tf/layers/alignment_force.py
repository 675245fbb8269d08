"""The layer that says where an image should move to look more like another."""

import keras

from vxm_tf import ops


@keras.saving.register_keras_serializable(package="vxm_tf")
class AlignmentForce(keras.layers.Layer):
    """How the local correlation of a moved image with another one grows with the displacement.

    Computes in float32 under every precision policy. Source: `vxm_tf.ops.alignment_force`.

    Args:
        window: odd edge length of the boxes of the local correlation, in cells of two voxels.

    Call arguments:
        image, other: `[batch, *spatial, channels]`, one shape, even spatial sizes.
        displacement: `[batch, *spatial / 2, ndim]`, in cells.

    Output shape:
        That of the displacement.

    Raises:
        ValueError: images of different shapes or of odd size, a displacement of another grid, or a window that is
            even or less than 1.
    """

    def __init__(self, window=5, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.window = window

    def call(self, image, other, displacement):
        return ops.alignment_force(image, other, displacement, self.window)

    def compute_output_shape(self, image_shape, other_shape, displacement_shape):
        return displacement_shape

    def get_config(self):
        return {**super().get_config(), "window": self.window}
