"""The U-Net that all dense registration networks share."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
from keras import layers

from vxm_tf.ops.tensors import Tensor

LEAKY_SLOPE = 0.2

Precision: TypeAlias = str | dict[str, Any] | keras.DTypePolicy | None
"""A precision policy of Keras, its name or its configuration; None for Keras' global policy."""


def unet(
    tensor: Tensor,
    encoder_features: Sequence[int | Sequence[int]],
    decoder_features: Sequence[int | Sequence[int]],
    *,
    stop_level: int = 0,
    instance_normalization: bool = False,
    dtype: Precision = None,
    name: str = "unet",
) -> Tensor:
    """Apply a U-Net to a tensor with any number of spatial axes.

    Encoder level l: a 3-wide convolution with `encoder_features[l]` filters, then pooling by 2. Decoder,
    from the coarsest grid: a convolution, nearest upsampling by 2, and concatenation with the encoder's features of
    that level. Entries of `decoder_features` beyond one for each level are further convolutions at the end. An entry
    that is itself a tuple stands for several convolutions of its level. LeakyReLU(0.2) follows every convolution.
    Source: Ronneberger et al., MICCAI 2015; widths and order as in VoxelMorph (Balakrishnan et al., IEEE TMI 2019).

    Args:
        tensor: symbolic `[batch, *spatial, channels]`, spatial sizes multiples of 2^levels.
        encoder_features: filters for each level, finest first.
        decoder_features: filters of the decoder, coarsest first, at least one for each level.
        stop_level: number of upsamplings to leave out at the end; the result is 2^stop_level times coarser.
        instance_normalization: normalise every channel of every image after each convolution (Ulyanov et
            al., 2016), which takes the place of the convolution's bias.
        dtype: precision policy of the convolutions; None for Keras' global one.
        name: prefix of the layer names.

    Returns:
        `[batch, *(spatial / 2^stop_level), decoder_features[-1]]`.

    Raises:
        ValueError: fewer decoder entries than levels, or a `stop_level` that is not between 0 and the
            number of levels.
    """
    levels = len(encoder_features)
    if len(decoder_features) < levels:
        raise ValueError(
            f"A U-Net with {levels} encoder levels needs at least {levels} decoder features; got {decoder_features}."
        )
    if not 0 <= stop_level <= levels:
        raise ValueError(f"stop_level must be between 0 and the {levels} levels; got {stop_level}.")
    ndim = len(tensor.shape) - 2

    def convolve(tensor: Tensor, entry: int | Sequence[int], part: str) -> Tensor:
        for index, filters in enumerate((entry,) if isinstance(entry, int) else entry):
            suffix = f"{part}_{index}" if index else part
            tensor = convolve_block(
                tensor,
                filters,
                instance_normalization=instance_normalization,
                dtype=dtype,
                name=f"{name}_{suffix}",
            )
        return tensor

    skips = []
    for level, filters in enumerate(encoder_features):
        tensor = convolve(tensor, filters, f"enc_conv_{level}")
        skips.append(tensor)
        # float32 because TensorFlow pools 3-D volumes in half precision on a GPU only; the values do not change.
        tensor = spatial_layer("MaxPooling", ndim)(2, dtype="float32", name=f"{name}_enc_pool_{level}")(tensor)
    for level in reversed(range(levels)):
        tensor = convolve(tensor, decoder_features[levels - 1 - level], f"dec_conv_{level}")
        if level >= stop_level:
            tensor = spatial_layer("UpSampling", ndim)(2, dtype=dtype, name=f"{name}_dec_up_{level}")(tensor)
            tensor = layers.Concatenate(dtype=dtype, name=f"{name}_dec_skip_{level}")([tensor, skips[level]])
    for index, filters in enumerate(decoder_features[levels:]):
        tensor = convolve(tensor, filters, f"final_conv_{index}")
    return tensor


def convolve_block(
    tensor: Tensor,
    filters: int,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    instance_normalization: bool = False,
    dtype: Precision = None,
    name: str,
) -> Tensor:
    """A convolution, instance normalisation if it is chosen, then LeakyReLU(0.2)."""
    convolution = spatial_layer("Conv", len(tensor.shape) - 2)
    settings = {"padding": "same", "kernel_initializer": "he_normal", "use_bias": not instance_normalization}
    tensor = convolution(filters, kernel_size, strides, name=name, dtype=dtype, **settings)(tensor)
    if instance_normalization:
        normalize = layers.GroupNormalization(groups=-1, epsilon=1e-5, dtype=dtype, name=f"{name}_normalization")
        tensor = normalize(tensor)
    return layers.LeakyReLU(LEAKY_SLOPE, dtype=dtype, name=f"{name}_activation")(tensor)


def spatial_layer(kind: str, ndim: int) -> Callable[..., keras.layers.Layer]:
    """The constructor of a Keras layer for `ndim` spatial axes, such as `Conv3D`, with channels on the last axis."""
    layer = getattr(keras.layers, f"{kind}{ndim}D")
    if layer is keras.layers.UpSampling1D:
        # Its channels are always last.
        return layer
    # Given explicitly, because the default comes from the user's keras.json.
    return functools.partial(layer, data_format="channels_last")
