"""The layer that pads images, so that a network takes any shape."""

from typing import Any

import keras
from keras import ops as K

from vxm_tf.ops.tensors import Shape, Tensor
from vxm_tf.ops.voxel_grid import spatial_shape


@keras.saving.register_keras_serializable(package="vxm_tf")
class PadToMultiple(keras.layers.Layer):
    """Appends zeros to every spatial axis, up to the next size that `multiple` divides.

    Args:
        multiple: number that divides every spatial size of the output.

    Call arguments:
        image: `[batch, *spatial, channels]`.

    Output shape:
        `[batch, *padded, channels]`; `CropLike` undoes it.

    Raises:
        ValueError: a multiple below 1.
    """

    def __init__(self, multiple: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if multiple < 1:
            raise ValueError(f"Sizes are padded to a multiple of at least 1; got {multiple}.")
        self.multiple = multiple

    def call(self, image: Tensor) -> Tensor:
        after = [-size % self.multiple for size in spatial_shape(image)]
        if all(isinstance(count, int) and count == 0 for count in after):
            return image
        padding = [(0, 0), *((0, count) for count in after), (0, 0)]
        # The zero is a tensor because TensorFlow, on a CPU with oneDNN, merges its plain Pad with the Conv3D that
        # follows and then omits that convolution's own "same" padding.
        return K.pad(image, padding, constant_values=K.zeros((), image.dtype))

    def compute_output_shape(self, image_shape: Shape) -> Shape:
        padded = (None if size is None else size + -size % self.multiple for size in image_shape[1:-1])
        return (image_shape[0], *padded, image_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "multiple": self.multiple}
