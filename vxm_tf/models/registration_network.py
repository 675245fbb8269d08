"""The base class of all registration networks, which map two images to a velocity, displacements and moved images."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import initializers, layers

from vxm_tf import ops
from vxm_tf.layers import CropLike, PadToMultiple, ResizeDisplacement, SpatialTransformer, VecInt
from vxm_tf.models.unet import Precision, spatial_layer
from vxm_tf.ops.displacement import check_resize_rule
from vxm_tf.ops.tensors import Shape, Tensor

OUTPUTS = ("moved", "displacement", "fixed_moved", "inverse_displacement", "velocity")

# Models that `with_outputs` has built, kept so that every later pair reuses their compiled prediction. They are kept
# here because Keras would treat them as layers of the network if they were its attributes.
_models_by_outputs: weakref.WeakKeyDictionary["RegistrationNetwork", dict[tuple[str, ...], keras.Model]] = (
    weakref.WeakKeyDictionary()
)


class RegistrationNetwork(keras.Model):
    """A functional model from `{"moving", "fixed"}` to the chosen outputs.

    Each kind of network is a subclass whose constructor passes its settings and the function that predicts the velocity
    to this class; see `VxmDense` for inputs and outputs. Users call the constructors of the subclasses.

    Args:
        settings: constructor arguments of the subclass, plain values. Every network has `image_shape`,
            `channels` (a pair), `integration_steps` and `outputs`; `resize_rule` ("areas") and `fill_value` may be
            left out.
        predict_velocity: function `(images, settings, dtype)` that returns the velocity on the integration grid, a
            symbolic tensor, or a dict with `velocity` and further outputs that `ANSWERS` names.
        name: name of the model.
        dtype: the precision policy of the convolutions; None for Keras' global one.

    Raises:
        ValueError: settings from which no network can be built.
    """

    BIDIRECTIONAL = ("moved", "displacement", "fixed_moved", "inverse_displacement")
    ANSWERS: tuple[str, ...] = OUTPUTS

    def __init__(
        self,
        settings: dict[str, Any],
        predict_velocity: Callable[[dict[str, Tensor], dict[str, Any], keras.DTypePolicy], Tensor | dict[str, Tensor]],
        *,
        name: str | None = None,
        dtype: Precision = None,
    ) -> None:
        self._check_settings(settings)
        policy: keras.DTypePolicy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        images = {
            name: keras.Input((*settings["image_shape"], count), name=name, dtype="float32")
            for name, count in zip(("moving", "fixed"), settings["channels"])
        }
        resize = ResizeDisplacement(
            self._integration_resolution(settings), rule=self._resize_rule(settings), name="to_image_grid"
        )
        predicted = predict_velocity(images, settings, policy)
        predicted = predicted if isinstance(predicted, dict) else {"velocity": predicted}
        tensors = {**predicted, **_fields(images, predicted["velocity"], settings, resize)}
        super().__init__(inputs=images, outputs={key: tensors[key] for key in settings["outputs"]}, name=name)
        self.dtype_policy = policy
        self.settings = settings
        self.tensors = tensors
        # A part of this network: a layer that only an unchosen output needs is trained, copied and saved too.
        self.all_outputs = keras.Model(images, tensors, name="all_outputs")
        self.metadata: dict[str, Any] = {}

    @classmethod
    def _check_settings(cls, settings: dict[str, Any]) -> None:
        """Raise `ValueError` for settings from which no network can be built; subclasses add their own checks."""
        shape = settings["image_shape"]
        if not 1 <= len(shape) <= 3:
            raise ValueError(f"image_shape holds 1 to 3 spatial sizes, without batch and channels; got {shape}.")
        if len(settings["channels"]) != 2:
            raise ValueError(f"channels is one number, or a pair (moving, fixed); got {settings['channels']}.")
        check_resize_rule(cls._resize_rule(settings))
        cls._check_outputs(settings)

    @classmethod
    def _check_outputs(cls, settings: dict[str, Any]) -> None:
        if not settings["outputs"]:
            raise ValueError(f"outputs names at least one of {', '.join(cls.ANSWERS)}.")
        for name in settings["outputs"]:
            if name not in cls.ANSWERS:
                raise ValueError(f"There is no output {name!r}; choose from {', '.join(cls.ANSWERS)}.")
            if name in ("inverse_displacement", "fixed_moved") and not settings["integration_steps"]:
                raise ValueError(
                    f"A plain displacement (integration_steps=0) has no inverse, so there is no {name!r}. "
                    "Set integration_steps to 5 or more, or leave this output out."
                )

    @classmethod
    def _integration_resolution(cls, settings: dict[str, Any]) -> int:
        """Voxel size of the velocity's grid, in voxels of the image."""
        return settings["integration_resolution"]

    @staticmethod
    def _resize_rule(settings: dict[str, Any]) -> str:
        """Correspondence between the velocity's and the image's grid, see `vxm_tf.ops.resize`."""
        return settings.get("resize_rule", "areas")

    def with_outputs(self, *names: str) -> keras.Model:
        """A model that shares this network's weights and returns other outputs; built once for each list of names.

        Args:
            names: names of outputs, see `VxmDense`.

        Raises:
            ValueError: a name that this network cannot answer.
        """
        self._check_outputs({**self.settings, "outputs": names})
        models = _models_by_outputs.setdefault(self, {})
        if names not in models:
            models[names] = keras.Model(self.input, {name: self.tensors[name] for name in names}, name=self.name)
        return models[names]

    def for_shape(self, image_shape: Shape, dtype: Precision = None) -> "RegistrationNetwork":
        """A copy of this network, weights included, for images of another shape; this network if nothing changes.

        Args:
            image_shape: spatial shape; None for a size that may change from call to call.
            dtype: the precision policy of the convolutions; None for this network's.

        Raises:
            ValueError: a shape with another number of axes.
        """
        axes = len(self.settings["image_shape"])
        if len(image_shape) != axes:
            raise ValueError(f"This network takes {axes}-D images; got an image of shape {tuple(image_shape)}.")
        policy = keras.dtype_policies.get(dtype or self.dtype_policy)
        if (tuple(image_shape), policy) == (self.settings["image_shape"], self.dtype_policy):
            return self
        changed = {"image_shape": tuple(image_shape), "dtype": policy}
        network = type(self).from_config({**self.get_config(), **changed})
        network.set_weights(self.get_weights())
        return network

    def integrated(self, velocity: Tensor, image_shape: Sequence[int | Tensor], steps: int) -> Tensor:
        """The displacement that this network derives from a velocity, with another number of integration steps.

        Args:
            velocity: `[batch, *grid, ndim]`, an output `velocity` of this network, in voxels of its grid.
            image_shape: spatial shape of the images.
            steps: number of squarings.

        Returns:
            The displacement `[batch, *image_shape, ndim]`, in voxels.
        """
        resize = ResizeDisplacement(self._integration_resolution(self.settings), rule=self._resize_rule(self.settings))
        displacement = resize(ops.integrate(velocity, steps))
        return displacement[(slice(None), *(slice(0, size) for size in image_shape))]

    def get_config(self) -> dict[str, Any]:
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        own = {"name": self.name, "dtype": policy, "trainable": self.trainable, "metadata": dict(self.metadata)}
        return {**self.settings, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "RegistrationNetwork":
        config = dict(config)
        trainable, metadata = config.pop("trainable", True), config.pop("metadata", {})
        model = cls(**config)
        model.trainable = trainable
        model.metadata = dict(metadata)
        return model


def channel_pair(channels: int | Sequence[int]) -> tuple[int, ...]:
    """Numbers of channels of (moving, fixed), from one number for both or a pair."""
    return (channels, channels) if isinstance(channels, int) else tuple(channels)


def feature_tuples(features: int | Sequence) -> int | tuple:
    """Filter counts as nested tuples, from sequences of any kind."""
    return features if isinstance(features, int) else tuple(feature_tuples(entry) for entry in features)


def output_names(outputs: str | Sequence[str]) -> tuple[str, ...]:
    """Names of outputs as a tuple, from one name or several."""
    return (outputs,) if isinstance(outputs, str) else tuple(outputs)


def padded_images(images: dict[str, Tensor], multiple: int) -> Tensor:
    """Both images as channels of one tensor, with spatial sizes padded to multiples of `multiple`."""
    both = layers.Concatenate(name="images", dtype="float32")([images["moving"], images["fixed"]])
    return PadToMultiple(multiple, name="padded", dtype="float32")(both)


def velocity_head(ndim: int, name: str = "flow") -> keras.layers.Layer:
    """The convolution that turns features into a field, in voxels of their grid, nearly zero before training."""
    # float32 under every policy, because near 4 voxels float16 has steps of 0.004 voxel and bfloat16 of 0.03.
    start = initializers.RandomNormal(stddev=1e-5)
    return spatial_layer("Conv", ndim)(ndim, 3, padding="same", kernel_initializer=start, dtype="float32", name=name)


def _fields(
    images: dict[str, Tensor], velocity: Tensor, settings: dict[str, Any], resize: keras.layers.Layer
) -> dict[str, Tensor]:
    """Every output that follows from the velocity, by name."""
    integrate = VecInt(settings["integration_steps"], name="integrate")
    fill_value = settings.get("fill_value")
    border = {} if fill_value is None else {"fill_mode": "constant", "fill_value": fill_value}
    crop, transform = CropLike(name="crop", dtype="float32"), SpatialTransformer(**border, name="transformer")

    def displacement(generator: Tensor, image: Tensor) -> Tensor:
        return crop(resize(integrate(generator)), image)

    tensors = {"velocity": velocity, "displacement": displacement(velocity, images["fixed"])}
    tensors["moved"] = transform(images["moving"], tensors["displacement"])
    if settings["integration_steps"]:
        backwards = layers.Rescaling(-1.0, name="minus_velocity", dtype="float32")(velocity)
        tensors["inverse_displacement"] = displacement(backwards, images["moving"])
        tensors["fixed_moved"] = transform(images["fixed"], tensors["inverse_displacement"])
    return tensors
