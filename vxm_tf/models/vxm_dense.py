"""VoxelMorph's registration network."""

from collections.abc import Sequence
from typing import Any

import keras

from vxm_tf.layers import ResizeDisplacement
from vxm_tf.models.presets import DENSE, preset
from vxm_tf.models.registration_network import (
    RegistrationNetwork,
    channel_pair,
    feature_tuples,
    output_names,
    padded_images,
    velocity_head,
)
from vxm_tf.models.unet import Precision, unet
from vxm_tf.ops.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="vxm_tf")
class VxmDense(RegistrationNetwork):
    """A U-Net that takes both images and predicts the displacement that aligns them.

    Called with `{"moving", "fixed"}`, images `[batch, *image_shape, channels]` with intensities in
    [0, 1], it returns a dict of the chosen `outputs`:

    - `moved` `[batch, *image_shape, moving channels]`: moved(x) = moving(x + displacement(x));
    - `displacement` `[batch, *image_shape, ndim]`, in voxels of the fixed image, `ij` order;
    - `fixed_moved` `[batch, *image_shape, fixed channels]`: the fixed image warped to the moving one,
      fixed(x + inverse_displacement(x));
    - `inverse_displacement` `[batch, *image_shape, ndim]`, in voxels of the moving image;
    - `velocity` `[batch, *grid, ndim]`: the stationary velocity field that is integrated, in voxels of its
      own grid; the grid's shape is the image's, padded to a multiple of 2^levels, over `integration_resolution`.

    Images of any shape are padded and cropped inside the graph. Locations, fields and integration are
    float32 under every precision policy. Sources: Balakrishnan et al., CVPR 2018 and IEEE TMI 2019;
    Dalca et al., MICCAI 2018.

    `metadata`, a dict of plain values such as the name of the images' normalisation, is saved with the model.

    Args:
        image_shape: spatial shape; None for a size that may change from call to call.
        channels: number of channels of both images, or a pair (moving, fixed).
        features: a pair (encoder, decoder) of filter counts, see `unet`.
        instance_normalization: normalise features after each convolution, see `unet`.
        velocity_resolution: voxel size of the predicted velocity, in voxels of the image; a power of two up
            to 2^levels.
        integration_resolution: voxel size of the integrated velocity, in voxels of the image; a power of two
            up to 2^levels.
        integration_steps: number of squarings of scaling and squaring; 0 makes the network's answer a plain
            displacement, which may fold and has no inverse (CVPR 2018).
        resize_rule: rule by which fields are resized, see `vxm_tf.ops.resize`; "corners" suits networks that VoxelMorph
            0.1 to dev trained.
        fill_value: intensity of moved images outside the moving image; None repeats its edge.
        outputs: names from the list above. `VxmDense.BIDIRECTIONAL` lists the outputs of both directions.
        name: name of the model.
        dtype: the precision policy of the convolutions; None for Keras' global one.

    Raises:
        ValueError: a shape with other than 1 to 3 axes, other than two numbers of channels, a resolution that
            is no power of two, an unknown output or rule, or an inverse from a network without integration.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.models import VxmDense
    >>> network = VxmDense((15, 18), features=((4, 4), (4, 4, 4)))
    >>> image = np.random.rand(1, 15, 18, 1).astype("float32")
    >>> answer = network({"moving": image, "fixed": image})
    >>> sorted(answer), tuple(answer["displacement"].shape)
    (['displacement', 'moved'], (1, 15, 18, 2))
    """

    def __init__(
        self,
        image_shape: Shape,
        *,
        channels: int | Sequence[int] = 1,
        features: Sequence | None = None,
        instance_normalization: bool = False,
        velocity_resolution: int = 1,
        integration_resolution: int = 2,
        integration_steps: int = 7,
        resize_rule: str = "areas",
        fill_value: float | None = None,
        outputs: str | Sequence[str] = ("moved", "displacement"),
        name: str | None = None,
        dtype: Precision = None,
    ) -> None:
        # Settings are named one by one because Keras accepts any keyword for a functional model, misspelt ones too.
        settings = {
            "image_shape": tuple(image_shape),
            "channels": channel_pair(channels),
            "features": feature_tuples(features or preset("default")["features"]),
            "instance_normalization": instance_normalization,
            "velocity_resolution": velocity_resolution,
            "integration_resolution": integration_resolution,
            "integration_steps": integration_steps,
            "resize_rule": resize_rule,
            "fill_value": fill_value,
            "outputs": output_names(outputs),
        }
        super().__init__(settings, _velocity, name=name, dtype=dtype)

    @classmethod
    def from_preset(cls, name: str, image_shape: Shape, **overrides: Any) -> "VxmDense":
        """An untrained network with the settings of a preset.

        Args:
            name: "default", or "fast" for a network at half resolution.
            image_shape: spatial shape; None for a size that may change from call to call.
            overrides: constructor arguments that replace those of the preset.

        Raises:
            ValueError: unknown name.
        """
        return cls(image_shape, **{**preset(name, DENSE), **overrides})

    @classmethod
    def _check_settings(cls, settings: dict[str, Any]) -> None:
        super()._check_settings(settings)
        encoder, _ = settings["features"]
        for name in ("velocity_resolution", "integration_resolution"):
            value = settings[name]
            if not isinstance(value, int) or value not in [2**level for level in range(len(encoder) + 1)]:
                raise ValueError(f"{name} is a power of two from 1 to {2 ** len(encoder)}; got {value}.")


def _velocity(images: dict[str, Tensor], settings: dict[str, Any], dtype: Precision) -> Tensor:
    """The velocity field on the integration grid; without integration, the displacement."""
    encoder, decoder = settings["features"]
    resolution = settings["velocity_resolution"]
    padded = padded_images(images, 2 ** len(encoder))
    stop_level = resolution.bit_length() - 1
    normalization = settings["instance_normalization"]
    features = unet(padded, encoder, decoder, stop_level=stop_level, instance_normalization=normalization, dtype=dtype)
    velocity = velocity_head(len(settings["image_shape"]))(features)
    coarser = settings["integration_resolution"]
    if coarser == resolution:
        return velocity
    return ResizeDisplacement(resolution / coarser, rule=settings["resize_rule"], name="velocity")(velocity)
