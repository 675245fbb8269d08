"""The networks of VoxelMorph's papers of 2018."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from vxm_tf.models.registration_network import (
    RegistrationNetwork,
    channel_pair,
    feature_tuples,
    output_names,
    padded_images,
    velocity_head,
)
from vxm_tf.models.unet import Precision, convolve_block, spatial_layer
from vxm_tf.ops.tensors import Shape, Tensor

LEVELS = 4
HALF_RESOLUTION_CONVOLUTIONS = 5


@keras.saving.register_keras_serializable(package="vxm_tf")
class Vxm2018(RegistrationNetwork):
    """The U-Net with strided convolutions of 2018, for the weights that were published for it.

    Inputs and outputs are those of `VxmDense`. Unlike `VxmDense` it halves by strides instead of pooling,
    has a convolution without skip at half resolution, and takes the raw images at full resolution. Sources:
    Balakrishnan et al., CVPR 2018 (vm1, vm2: full resolution, no integration); Dalca et al., MICCAI 2018
    (half resolution, integrated; here the mean velocity).

    Args:
        image_shape: spatial shape; None for a size that may change from call to call.
        channels: number of channels of both images, or a pair (moving, fixed).
        features: filter counts (4 of the encoder, 5 to 7 of the decoder). With 5 the velocity is at half
            resolution; a sixth and seventh convolution run at full resolution.
        integration_steps: number of squarings; 0 makes the answer a plain displacement.
        resize_rule: rule by which the field is resized to the image's grid, see `vxm_tf.ops.resize`.
        outputs: names of outputs, see `VxmDense`.
        name: name of the model.
        dtype: the precision policy of the convolutions; None for Keras' global one.

    Raises:
        ValueError: settings that do not describe such a network.

    Example:

    >>> from vxm_tf.models import Vxm2018
    >>> vm2 = Vxm2018((16, 32, 16))
    >>> vm2.count_params()
    300547
    """

    def __init__(
        self,
        image_shape: Shape,
        *,
        channels: int | Sequence[int] = 1,
        features: Sequence = ((16, 32, 32, 32), (32, 32, 32, 32, 32, 16, 16)),
        integration_steps: int = 0,
        resize_rule: str = "origin",
        outputs: str | Sequence[str] = ("moved", "displacement"),
        name: str | None = None,
        dtype: Precision = None,
    ) -> None:
        settings = {
            "image_shape": tuple(image_shape),
            "channels": channel_pair(channels),
            "features": feature_tuples(features),
            "integration_steps": integration_steps,
            "resize_rule": resize_rule,
            "outputs": output_names(outputs),
        }
        super().__init__(settings, _velocity, name=name, dtype=dtype)

    @classmethod
    def _check_settings(cls, settings: dict[str, Any]) -> None:
        super()._check_settings(settings)
        encoder, decoder = settings["features"]
        if len(encoder) != LEVELS or not HALF_RESOLUTION_CONVOLUTIONS <= len(decoder) <= 7:
            raise ValueError(
                f"The networks of 2018 have 4 encoder and 5, 6 or 7 decoder features; got {settings['features']}."
            )

    @classmethod
    def _integration_resolution(cls, settings: dict[str, Any]) -> int:
        return 2 if len(settings["features"][1]) == HALF_RESOLUTION_CONVOLUTIONS else 1


def _velocity(images: dict[str, Tensor], settings: dict[str, Any], dtype: Precision) -> Tensor:
    """The velocity field on the integration grid; without integration, the displacement."""
    encoder, decoder = settings["features"]
    ndim = len(settings["image_shape"])
    padded = padded_images(images, 2**LEVELS)

    def convolve(tensor: Tensor, filters: int, name: str, strides: int = 1) -> Tensor:
        return convolve_block(tensor, filters, strides=strides, dtype=dtype, name=name)

    def join(tensor: Tensor, skip: Tensor, name: str) -> Tensor:
        tensor = spatial_layer("UpSampling", ndim)(2, dtype=dtype, name=f"{name}_up")(tensor)
        return layers.Concatenate(dtype=dtype, name=f"{name}_skip")([tensor, skip])

    skips, tensor = [], padded
    for level, filters in enumerate(encoder):
        tensor = convolve(tensor, filters, f"enc_conv_{level}", strides=2)
        skips.append(tensor)
    for index, skip in enumerate((None, *reversed(skips[:-1]))):
        tensor = tensor if skip is None else join(tensor, skip, f"dec_{index}")
        tensor = convolve(tensor, decoder[index], f"dec_conv_{index}")
    tensor = convolve(tensor, decoder[LEVELS], f"dec_conv_{LEVELS}")
    if len(decoder) > HALF_RESOLUTION_CONVOLUTIONS:
        tensor = join(tensor, padded, "full")
    for index, filters in enumerate(decoder[HALF_RESOLUTION_CONVOLUTIONS:]):
        tensor = convolve(tensor, filters, f"full_conv_{index}")
    return velocity_head(ndim)(tensor)
