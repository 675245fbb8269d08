"""A coarse-to-fine registration network that is symmetric in its two images."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers
from keras import ops as K

from vxm_tf.layers import AlignmentForce, DescentStep, EdgeStrength, ResizeDisplacement, SpatialTransformer, VecInt
from vxm_tf.models.presets import PYRAMIDS, preset
from vxm_tf.models.registration_network import (
    RegistrationNetwork,
    channel_pair,
    feature_tuples,
    output_names,
    padded_images,
    velocity_head,
)
from vxm_tf.models.unet import Precision, convolve_block, spatial_layer
from vxm_tf.ops.alignment import CELL, swapped
from vxm_tf.ops.tensors import Shape, Tensor

RATE, MEMORY, SMOOTHNESS = 0.5, 0.5, 0.5
"""Settings of an untrained step, see `layers.DescentStep`."""
DESCRIPTORS = ("intensity", "edges")


@keras.saving.register_keras_serializable(package="vxm_tf")
class VxmPyramid(RegistrationNetwork):
    """Descent on the images' similarity, unrolled and learned, from the coarsest grid to the finest.

    Inputs and outputs are those of `VxmDense`. A velocity v is built up on grids 2, 4, 8, ... times coarser than the
    image's, the coarsest first. On each grid it takes a few steps along the derivative of the local correlation, which
    needs no training: with the force p on an image's displacement, see `ops.alignment_force`,

        force = (p(moving o exp(v), fixed) - p(fixed o exp(-v), moving)) / 2

    and `layers.DescentStep`, whose rates, memory and smoothness are learned. Then a correction r is predicted by
    convolutions from the features that a shared encoder computes from each image, each warped half way to the other:

        v <- v + (r(m, f) - r(f, m)) / 2,  m = features(moving) o exp(v / 2),  f = features(fixed) o exp(-v / 2)

    An untrained network therefore already registers images, which leaves little for training to learn. Swapping the
    images changes the sign of the velocity and nothing else: the velocity is antisymmetric. The displacement of the
    swapped pair, exp(-v), is close to the inverse. Both displacements are interpolated from a coarser grid, so one
    after the other they leave 0.16 to 0.19 voxel on average in the brain, and up to 3.

    Sources: unrolled descent as in Qiu et al. (GraDIRN), MIDL 2022; the symmetric similarity of Avants et al., Medical
    Image Analysis 2008; residual velocities, coarse to fine, as in Mok and Chung (LapIRN), MICCAI 2020; scaling and
    squaring as in `VecInt`.

    Args:
        image_shape: spatial shape; None for a size that may change from call to call.
        channels: number of channels of each image, equal for both.
        features: the encoder's filters for each grid, finest first. `VxmPyramid.from_preset` has named choices.
        iterations: number of steps on each grid, finest first, for as many grids as `features`. A grid with 0 steps
            gets only the correction.
        window: odd edge length of the local correlation's boxes, in voxels of each grid's velocity.
        descriptor: quantity that the similarity compares: "intensity", or "edges" for images of unlike contrast, see
            `ops.edge_strength`.
        integration_steps: number of squarings, 1 or more.
        outputs: names of outputs, see `VxmDense`.
        name: name of the model.
        dtype: the precision policy of the convolutions; None for Keras' global one.

    Raises:
        ValueError: a shape with other than 1 to 3 axes, unequal channels, no grid, unequal lengths of features and
            iterations, an unknown descriptor or output, or no integration steps.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.models import VxmPyramid
    >>> network = VxmPyramid((16, 20), features=(4, 6), iterations=(2, 2))
    >>> image = np.random.rand(1, 16, 20, 1).astype("float32")
    >>> answer = network({"moving": image, "fixed": image})
    >>> bool(abs(np.asarray(answer["displacement"])).max() < 1e-5)
    True
    """

    def __init__(
        self,
        image_shape: Shape,
        *,
        channels: int | Sequence[int] = 1,
        features: Sequence[int] | None = None,
        iterations: Sequence[int] | None = None,
        window: int = 5,
        descriptor: str = "intensity",
        integration_steps: int = 7,
        outputs: str | Sequence[str] = ("moved", "displacement"),
        name: str | None = None,
        dtype: Precision = None,
    ) -> None:
        settings = {
            "image_shape": tuple(image_shape),
            "channels": channel_pair(channels),
            "features": feature_tuples(preset("base")["features"] if features is None else features),
            "iterations": feature_tuples(preset("base")["iterations"] if iterations is None else iterations),
            "window": window,
            "descriptor": descriptor,
            "integration_steps": integration_steps,
            "outputs": output_names(outputs),
        }
        super().__init__(settings, self._predict, name=name, dtype=dtype)

    @staticmethod
    def _predict(images: dict[str, Tensor], settings: dict[str, Any], dtype: Precision) -> Tensor | dict[str, Tensor]:
        """The velocity on half the image's grid, in voxels of its own grid."""
        return coarse_to_fine(images, settings, dtype)[0]

    @classmethod
    def from_preset(cls, name: str, image_shape: Shape, **overrides: Any) -> "VxmPyramid":
        """An untrained network with the settings of a preset.

        Args:
            name: "small" for CPUs, "base", "large", or "any-contrast" for images of unlike contrast.
            image_shape: spatial shape; None for a size that may change from call to call.
            overrides: constructor arguments that replace those of the preset.

        Raises:
            ValueError: unknown name.
        """
        return cls(image_shape, **{**preset(name, PYRAMIDS), **overrides})

    @classmethod
    def _check_settings(cls, settings: dict[str, Any]) -> None:
        super()._check_settings(settings)
        moving, fixed = settings["channels"]
        if moving != fixed:
            raise ValueError(f"One encoder sees both images, so they have equal channels; got {moving} and {fixed}.")
        features, iterations = settings["features"], settings["iterations"]
        if isinstance(features, int) or isinstance(iterations, int) or not 0 < len(features) == len(iterations):
            raise ValueError(
                "features and iterations each hold one number for each grid, finest first; got "
                f"features {features} and iterations {iterations}."
            )
        if settings["descriptor"] not in DESCRIPTORS:
            names = " or ".join(map(repr, DESCRIPTORS))
            raise ValueError(f"descriptor is {names}; got {settings['descriptor']!r}.")
        if settings["integration_steps"] < 1:
            raise ValueError("A network that is its own inverse integrates: integration_steps is 1 or more.")

    @classmethod
    def _integration_resolution(cls, settings: dict[str, Any]) -> int:
        return CELL


def coarse_to_fine(
    images: dict[str, Tensor], settings: dict[str, Any], dtype: Precision
) -> tuple[Tensor, list[Tensor]]:
    """The velocity, and the features of each grid from which its corrections were predicted.

    Args:
        images: `moving` and `fixed`, symbolic, each `[batch, *image_shape, channels]`.
        settings: constructor arguments of `VxmPyramid`.
        dtype: the precision policy of the convolutions.

    Returns:
        The velocity `[batch, *(padded shape / 2), ndim]`, in voxels of its own grid, and a list of features, coarsest
        grid first; along the batch axis the features of the swapped pair follow those of the pair.
    """
    channels, levels = settings["channels"][0], len(settings["features"])
    if settings["descriptor"] == "edges":
        images = {name: EdgeStrength(name=f"edges_of_{name}")(image) for name, image in images.items()}
    padded = padded_images(images, CELL**levels)
    # Both images pass every layer together; along the batch axis the fixed image follows the moving one.
    both = K.concatenate([padded[..., :channels], padded[..., channels:]], axis=0)
    pooled, features = _images_of_each_grid(both, levels), _features_of_each_grid(both, settings, dtype)
    velocity, pair_features = _no_velocity(pooled[-1]), []
    for level in reversed(range(levels)):
        if level < levels - 1:
            velocity = ResizeDisplacement(CELL, name=f"velocity_up_{level}")(velocity)
        velocity = _descend(velocity, pooled[level], level, settings)
        pair_features.append(_pair_features(velocity, features[level], level, settings, dtype))
        velocity = _correct(velocity, pair_features[-1], level)
    return velocity, pair_features


def _images_of_each_grid(both: Tensor, levels: int) -> list[Tensor]:
    """The images at full resolution, then 2, 4, ... times coarser, down to the grid of the coarsest velocity."""
    pooled = [both]
    for level in range(levels):
        pool = spatial_layer("AveragePooling", len(both.shape) - 2)(CELL, dtype="float32", name=f"pooled_{level}")
        pooled.append(pool(pooled[-1]))
    return pooled


def _features_of_each_grid(both: Tensor, settings: dict[str, Any], dtype: Precision) -> list[Tensor]:
    """The encoder's features on the grid of each velocity, finest first."""
    tensor, pyramid = both, []
    for level, filters in enumerate(settings["features"]):
        for part, size in (("down", {"kernel_size": CELL, "strides": CELL}), ("same", {})):
            # Kernels two voxels wide let a voxel of the coarse grid depend on just the voxels that it covers.
            name = f"encoder_{part}_{level}"
            tensor = convolve_block(tensor, filters, instance_normalization=True, dtype=dtype, name=name, **size)
        pyramid.append(tensor)
    return pyramid


def _no_velocity(both: Tensor) -> Tensor:
    """A velocity of zeros on the grid of the images, for each pair of the batch."""
    first = K.zeros_like(K.split(both, 2, axis=0)[0][..., :1])
    return K.repeat(first, len(both.shape) - 2, axis=-1)


def _descend(velocity: Tensor, both: Tensor, level: int, settings: dict[str, Any]) -> Tensor:
    """The velocity after all descent steps on one grid."""
    steps = settings["iterations"][level]
    if not steps:
        return velocity
    pull = AlignmentForce(settings["window"], name=f"force_{level}")
    step = DescentStep(steps, RATE, MEMORY, SMOOTHNESS, name=f"step_{level}")
    memory, other = K.zeros_like(velocity), swapped(both)
    for number in range(steps):
        there_and_back = _there_and_back(velocity, settings, f"{level}_{number}")
        force = _antisymmetric(pull(both, other, there_and_back))
        velocity, memory = step(velocity, force, memory, number=number)
    return velocity


def _pair_features(
    velocity: Tensor, features: Tensor, level: int, settings: dict[str, Any], dtype: Precision
) -> Tensor:
    """Features of both images on one grid, each warped half way to the other, joined by a convolution."""
    half_way = _there_and_back(0.5 * velocity, settings, f"half_way_{level}")
    midway = SpatialTransformer(name=f"met_{level}")(features, half_way)
    pair = layers.Concatenate(dtype=dtype, name=f"pair_{level}")([midway, swapped(midway)])
    filters = settings["features"][level]
    return convolve_block(pair, filters, instance_normalization=True, dtype=dtype, name=f"seen_{level}")


def _correct(velocity: Tensor, pair_features: Tensor, level: int) -> Tensor:
    """The velocity plus the correction that is predicted on one grid."""
    return velocity + _antisymmetric(velocity_head(velocity.shape[-1], f"flow_{level}")(pair_features))


def _there_and_back(velocity: Tensor, settings: dict[str, Any], name: str) -> Tensor:
    """Displacements of the moving and of the fixed image, in cells, concatenated along the batch axis."""
    # These displacements only guide the next step, so fewer squarings suffice.
    steps = max(settings["integration_steps"] - 5, 0)
    return VecInt(steps, name=f"there_and_back_{name}")(K.concatenate([velocity, -velocity], axis=0))


def _antisymmetric(both: Tensor) -> Tensor:
    """Half the difference between the two halves of a batch; swapping the images changes its sign."""
    first, second = K.split(both, 2, axis=0)
    return 0.5 * (first - second)
