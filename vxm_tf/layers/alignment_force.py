"""The layer that says where each of two images should move to look more like the other."""

import keras
from keras import ops as K

from vxm_tf import ops


@keras.saving.register_keras_serializable(package="vxm_tf")
class AlignmentForce(keras.layers.Layer):
    """A step of each of two images towards the other, and how well they correlate; see `vxm_tf.ops.alignment_force`.

    Computes in float32 under every precision policy. No gradient flows through it: what is learned is what to do with
    a force, not how to change it.

    Args:
        window: odd edge length of the box of the local correlation, in cells of two voxels.
        damping: added to the squared gradient of the images.

    Call arguments:
        both: `[2 batch, *spatial, channels]`: the moving images, and behind them the fixed. Even spatial sizes.

    Output shape:
        `[2 batch, *spatial / 2, ndim + 1]`: displacement in cells of two voxels, and the correlation.

    Raises:
        ValueError: a window that is even or less than 1.
    """

    def __init__(self, window=5, damping=0.1, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.window = window
        self.damping = damping

    def call(self, both):
        first, second, correlation = ops.alignment_force(*K.split(both, 2, axis=0), self.window, self.damping)
        sides = [K.concatenate([force, correlation], axis=-1) for force in (first, second)]
        return K.stop_gradient(K.concatenate(sides, axis=0))

    def compute_output_shape(self, both_shape):
        halves = [None if size is None else size // ops.alignment.CELL for size in both_shape[1:-1]]
        return (both_shape[0], *halves, len(halves) + 1)

    def get_config(self):
        return {**super().get_config(), "window": self.window, "damping": self.damping}
