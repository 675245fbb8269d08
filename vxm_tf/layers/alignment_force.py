"""The layer that says where each of two images should move to look more like the other."""

import keras
from keras import ops as K

from vxm_tf import ops


@keras.saving.register_keras_serializable(package="vxm_tf")
class AlignmentForce(keras.layers.Layer):
    """A step of each of two images towards the other, and how well they correlate.

    Computes in float32 under every precision policy. Source: `vxm_tf.ops.alignment_force`.

    Args:
        window: odd edge length of the box of the local correlation, in cells of two voxels.
        damping: added to the squared gradient of the images.

    Call arguments:
        first, second: `[batch, *spatial, channels]`, one shape, even spatial sizes.

    Output shape:
        `[batch, *spatial / 2, 2 ndim + 1]`: displacement of the first and of the second in cells, and the correlation.

    Raises:
        ValueError: images of different shapes or of odd size, or a window that is even or less than 1.
    """

    def __init__(self, window=5, damping=0.1, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.window = window
        self.damping = damping

    def call(self, first, second):
        return K.concatenate(ops.alignment_force(first, second, self.window, self.damping), axis=-1)

    def compute_output_shape(self, first_shape, second_shape):
        cells = [None if size is None else size // ops.alignment.CELL for size in first_shape[1:-1]]
        return (first_shape[0], *cells, 2 * len(cells) + 1)

    def get_config(self):
        return {**super().get_config(), "window": self.window, "damping": self.damping}
