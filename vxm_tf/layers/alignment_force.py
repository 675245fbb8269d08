"""The layer that computes the force which pulls an image towards another one."""

from typing import Any

import keras

from vxm_tf import ops
from vxm_tf.ops.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="vxm_tf")
class AlignmentForce(keras.layers.Layer):
    """Derivative of the local correlation of a moved image with another one, with respect to the displacement.

    Computes in float32 under every precision policy. Source: `vxm_tf.ops.alignment_force`.

    Args:
        window: odd edge length of the boxes of the local correlation, in cells of two voxels.

    Call arguments:
        image, other: `[batch, *spatial, channels]`, of equal shape, even spatial sizes.
        displacement: `[batch, *spatial / 2, ndim]`, in cells.

    Output shape:
        `[batch, *spatial / 2, ndim]`, per cell.

    Raises:
        ValueError: images of different shapes or of odd size, a displacement of another grid, or a window that is
            even or less than 1.
    """

    def __init__(self, window: int = 5, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.window = window

    def call(self, image: Tensor, other: Tensor, displacement: Tensor) -> Tensor:
        return ops.alignment_force(image, other, displacement, self.window)

    def compute_output_shape(self, image_shape: Shape, other_shape: Shape, displacement_shape: Shape) -> Shape:
        return displacement_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window}
