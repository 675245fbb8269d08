"""A coarse-to-fine registration network that is symmetric in its two images."""

import keras
from keras import layers
from keras import ops as K

from vxm_tf.layers import LocalCorrelation, ResizeDisplacement, SpatialTransformer, VecInt
from vxm_tf.models.presets import PYRAMIDS, preset
from vxm_tf.models.registration_network import (
    RegistrationNetwork,
    channel_pair,
    feature_tuples,
    output_names,
    padded_images,
    velocity_head,
)
from vxm_tf.models.unet import convolve_block, spatial_layer

CELL = 2
"""Voxels of the image, along each axis, to a voxel of the velocity's grid."""


@keras.saving.register_keras_serializable(package="vxm_tf")
class VxmPyramid(RegistrationNetwork):
    """One encoder for both images; a velocity that grows from the coarsest grid to the finest.

    Called and answering as `VxmDense`. The encoder gives features of each image on grids 2, 4, 8, ... times
    coarser than the image's. On every grid, coarsest first, the features of both are warped half the way towards
    each other by the velocity found so far, compared, and a residual velocity is added:

        v <- up(v) + (r(m, f) - r(f, m)) / 2,   m = moving o exp(v / 2),   f = fixed o exp(-v / 2).

    Both halves meet in one place, so the residual belongs where the velocity is, and swapping the images changes
    the sign of the velocity and nothing else: the displacement of the swapped pair is the inverse. The velocity's
    grid is half the image's. No gradient flows through the warps' own displacement: every grid learns from the sum.
    Sources: the symmetric midpoint of Avants et al., Medical Image Analysis 2008; coarse-to-fine residuals with
    local correlation as in Sun et al. (PWC-Net), CVPR 2018; scaling and squaring as in `VecInt`.

    Args:
        image_shape: spatial shape; None for a size that may change from call to call.
        channels: of each image; both have as many.
        features: filters for each grid, finest first. `VxmPyramid.from_preset` has named choices.
        correlation_level: the finest grid, counted from 0, on which the features of both images are also
            correlated voxel by voxel within a radius of 1, see `LocalCorrelation`; `len(features)` for none.
        integration_steps: squarings, 1 or more.
        outputs: names, see `VxmDense`.
        name: of the model.
        dtype: the precision policy of the convolutions; None for Keras' global one.

    Raises:
        ValueError: a shape with other than 1 to 3 axes, unequal channels, no grid, or an unknown output.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.models import VxmPyramid
    >>> network = VxmPyramid((16, 20), features=(4, 6))
    >>> image = np.random.rand(1, 16, 20, 1).astype("float32")
    >>> answer = network({"moving": image, "fixed": image})
    >>> bool(abs(np.asarray(answer["displacement"])).max() < 1e-5)
    True
    """

    def __init__(
        self,
        image_shape,
        *,
        channels=1,
        features=None,
        correlation_level=1,
        integration_steps=7,
        outputs=("moved", "displacement"),
        name=None,
        dtype=None,
    ):
        settings = {
            "image_shape": tuple(image_shape),
            "channels": channel_pair(channels),
            "features": feature_tuples(features or preset("small")["features"]),
            "correlation_level": correlation_level,
            "integration_steps": integration_steps,
            "outputs": output_names(outputs),
        }
        super().__init__(settings, _velocity, name=name, dtype=dtype)

    @classmethod
    def from_preset(cls, name, image_shape, **overrides):
        """A network with the settings of that name: "small" for CPUs, "base", or "large".

        Raises:
            ValueError: unknown name.
        """
        return cls(image_shape, **{**preset(name, PYRAMIDS), **overrides})

    @classmethod
    def _check_settings(cls, settings):
        super()._check_settings(settings)
        moving, fixed = settings["channels"]
        if moving != fixed:
            raise ValueError(f"One encoder sees both images, so they have equal channels; got {moving} and {fixed}.")
        if isinstance(settings["features"], int) or not settings["features"]:
            raise ValueError(f"features holds the filters for each grid, finest first; got {settings['features']}.")
        if settings["integration_steps"] < 1:
            raise ValueError("A network that is its own inverse integrates: integration_steps is 1 or more.")

    @classmethod
    def _integration_resolution(cls, settings):
        return CELL


def _velocity(images, settings, dtype):
    """The velocity on half the image's grid, in voxels of its own grid."""
    pyramid = _features_of_both(images, settings, dtype)
    velocity = context = None
    for level in reversed(range(len(pyramid))):
        both = pyramid[level]
        if velocity is not None:
            both = _halfway(both, velocity, level, settings["integration_steps"])
            velocity = ResizeDisplacement(CELL, name=f"velocity_up_{level}")(velocity)
        compared = _compare(both, context, level, level >= settings["correlation_level"], dtype)
        context = _decode(compared, settings["features"][level], level, dtype)
        residual = _antisymmetric(velocity_head(context, len(settings["image_shape"]), name=f"flow_{level}"))
        velocity = residual if velocity is None else velocity + residual
    return velocity


def _features_of_both(images, settings, dtype):
    """The encoder's features on each grid, finest first; moving and fixed lie one behind the other in the batch."""
    channels = settings["channels"][0]
    padded = padded_images(images, 2 ** len(settings["features"]))
    tensor, pyramid = K.concatenate([padded[..., :channels], padded[..., channels:]], axis=0), []
    for level, filters in enumerate(settings["features"]):
        # Two voxels wide, so that a voxel of the coarse grid sees just the voxels it covers.
        tensor = _block(tensor, filters, dtype, f"encoder_down_{level}", kernel_size=2, strides=2)
        tensor = _block(tensor, filters, dtype, f"encoder_{level}")
        pyramid.append(tensor)
    return pyramid


def _halfway(both, velocity, level, steps):
    """Features of both images, each warped half the way to the other by the velocity of the next coarser grid."""
    half = 0.5 * K.stop_gradient(velocity)
    # Half as long, and on a grid half as fine, as what `steps` are meant for: two squarings fewer reach as far.
    there_and_back = VecInt(max(steps - 2, 0), name=f"halfway_{level}")(K.concatenate([half, -half], axis=0))
    displacement = ResizeDisplacement(CELL, name=f"halfway_up_{level}")(there_and_back)
    return SpatialTransformer(name=f"meet_{level}")(both, displacement)


def _compare(both, context, level, correlated, dtype):
    """What the decoder sees of one grid: each image's features, the other's, and what the coarser grid knows."""
    other = _swapped(both)
    parts = [both, other]
    if correlated:
        parts.append(LocalCorrelation(name=f"correlation_{level}")(both, other))
    if context is not None:
        ndim = len(context.shape) - 2
        parts.append(spatial_layer("UpSampling", ndim)(CELL, dtype=dtype, name=f"context_up_{level}")(context))
    return layers.Concatenate(dtype=dtype, name=f"compared_{level}")(parts)


def _decode(compared, filters, level, dtype):
    """Two convolutions, the second beside a short cut."""
    tensor = _block(compared, filters, dtype, f"decoder_{level}_0")
    residual = _block(tensor, filters, dtype, f"decoder_{level}_1")
    return layers.Add(dtype=dtype, name=f"decoder_{level}")([tensor, residual])


def _block(tensor, filters, dtype, name, **settings):
    return convolve_block(tensor, filters, instance_normalization=True, dtype=dtype, name=name, **settings)


def _swapped(both):
    first, second = K.split(both, 2, axis=0)
    return K.concatenate([second, first], axis=0)


def _antisymmetric(both):
    first, second = K.split(both, 2, axis=0)
    return 0.5 * (first - second)
