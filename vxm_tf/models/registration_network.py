"""What all registration networks have in common: two images in, a field and what follows from it out."""

import weakref

import keras
from keras import initializers, layers

from vxm_tf import ops
from vxm_tf.layers import CropLike, PadToMultiple, ResizeDisplacement, SpatialTransformer, VecInt
from vxm_tf.models.unet import spatial_layer
from vxm_tf.ops.displacement import check_resize_rule

OUTPUTS = ("moved", "displacement", "fixed_moved", "inverse_displacement", "velocity")

# Of `with_outputs`: a compiled prediction serves every later pair. Kept beside the network, whose layers they are not.
_answering = weakref.WeakKeyDictionary()


class RegistrationNetwork(keras.Model):
    """A functional model from `{"moving", "fixed"}` to the chosen outputs.

    A kind of network is a subclass whose constructor hands over its settings and the function that
    predicts the velocity; see `VxmDense` for inputs and outputs. Its own constructor is not for users.

    Args:
        settings: the constructor arguments of the subclass, plain values. Every network has `image_shape`,
            `channels` (a pair), `integration_steps` and `outputs`; `resize_rule` ("areas") and `fill_value` may be
            left out.
        predict_velocity: `(images, settings, dtype)` to the velocity on the integration grid, symbolic, or to a dict of
            it and of what else the network says of the velocity, named in `ANSWERS`.
        name: of the model.
        dtype: the precision policy of the convolutions; None for Keras' global one.
    """

    BIDIRECTIONAL = ("moved", "displacement", "fixed_moved", "inverse_displacement")
    ANSWERS = OUTPUTS

    def __init__(self, settings, predict_velocity, *, name=None, dtype=None):
        self._check_settings(settings)
        dtype = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        images = {
            name: keras.Input((*settings["image_shape"], count), name=name, dtype="float32")
            for name, count in zip(("moving", "fixed"), settings["channels"])
        }
        resize = ResizeDisplacement(
            self._integration_resolution(settings), rule=self._resize_rule(settings), name="to_image_grid"
        )
        predicted = predict_velocity(images, settings, dtype)
        predicted = predicted if isinstance(predicted, dict) else {"velocity": predicted}
        tensors = {**predicted, **_fields(images, predicted["velocity"], settings, resize)}
        super().__init__(inputs=images, outputs={key: tensors[key] for key in settings["outputs"]}, name=name)
        self.dtype_policy = dtype
        self.settings = settings
        self.tensors = tensors
        self.metadata = {}

    @classmethod
    def _check_settings(cls, settings):
        """Raise `ValueError` for settings that make no network; subclasses add their own."""
        shape = settings["image_shape"]
        if not 1 <= len(shape) <= 3:
            raise ValueError(f"image_shape holds 1 to 3 spatial sizes, without batch and channels; got {shape}.")
        if len(settings["channels"]) != 2:
            raise ValueError(f"channels is one number, or a pair (moving, fixed); got {settings['channels']}.")
        check_resize_rule(cls._resize_rule(settings))
        cls._check_outputs(settings)

    @classmethod
    def _check_outputs(cls, settings):
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
    def _integration_resolution(cls, settings):
        """How many times coarser than the image's grid the velocity's grid is."""
        return settings["integration_resolution"]

    @staticmethod
    def _resize_rule(settings):
        """How the velocity's grid lies on the image's."""
        return settings.get("resize_rule", "areas")

    def with_outputs(self, *names):
        """A model that shares this one's weights and answers `names`; the same one for the same names.

        Raises:
            ValueError: a name that this network cannot answer.
        """
        self._check_outputs({**self.settings, "outputs": names})
        models = _answering.setdefault(self, {})
        if names not in models:
            models[names] = keras.Model(self.input, {name: self.tensors[name] for name in names}, name=self.name)
        return models[names]

    def for_shape(self, image_shape, dtype=None):
        """The same network, with a copy of its weights, for images of another shape (None: any size).

        Args:
            image_shape: spatial.
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

    def integrated(self, velocity, image_shape, steps):
        """The displacement that this network makes of a velocity, with another number of integration steps.

        Args:
            velocity: `[batch, *grid, ndim]`, as this network answers it.
            image_shape: spatial shape of the images.
            steps: number of squarings.

        Returns:
            `[batch, *image_shape, ndim]`, in voxels.
        """
        resize = ResizeDisplacement(self._integration_resolution(self.settings), rule=self._resize_rule(self.settings))
        displacement = resize(ops.integrate(velocity, steps))
        return displacement[(slice(None), *(slice(0, size) for size in image_shape))]

    def get_config(self):
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        own = {"name": self.name, "dtype": policy, "trainable": self.trainable, "metadata": dict(self.metadata)}
        return {**self.settings, **own}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        trainable, metadata = config.pop("trainable", True), config.pop("metadata", {})
        model = cls(**config)
        model.trainable = trainable
        model.metadata = dict(metadata)
        return model


def channel_pair(channels) -> tuple[int, int]:
    """The channels of (moving, fixed), given as one number or two."""
    return (channels, channels) if isinstance(channels, int) else tuple(channels)


def feature_tuples(features):
    """Filter counts as nested tuples, whatever sequences they came in."""
    return features if isinstance(features, int) else tuple(feature_tuples(entry) for entry in features)


def output_names(outputs) -> tuple[str, ...]:
    """Names of outputs, given as one or several."""
    return (outputs,) if isinstance(outputs, str) else tuple(outputs)


def padded_images(images, multiple):
    """Both images as channels of one tensor, padded to a multiple of `multiple`."""
    both = layers.Concatenate(name="images", dtype="float32")([images["moving"], images["fixed"]])
    return PadToMultiple(multiple, name="padded", dtype="float32")(both)


def velocity_head(ndim, name="flow"):
    """The convolution that turns features into a field, in voxels of their grid, nearly zero before training."""
    # float32 whatever the policy: float16 steps by 0.004 voxel at 4 voxels, bfloat16 by 0.03.
    start = initializers.RandomNormal(stddev=1e-5)
    return spatial_layer("Conv", ndim)(ndim, 3, padding="same", kernel_initializer=start, dtype="float32", name=name)


def _fields(images, velocity, settings, resize):
    """Every output that the network can give, by name."""
    integrate = VecInt(settings["integration_steps"], name="integrate")
    fill_value = settings.get("fill_value")
    border = {} if fill_value is None else {"fill_mode": "constant", "fill_value": fill_value}
    crop, transform = CropLike(name="crop", dtype="float32"), SpatialTransformer(**border, name="transformer")

    def displacement(generator, image):
        return crop(resize(integrate(generator)), image)

    tensors = {"velocity": velocity, "displacement": displacement(velocity, images["fixed"])}
    tensors["moved"] = transform(images["moving"], tensors["displacement"])
    if settings["integration_steps"]:
        backwards = layers.Rescaling(-1.0, name="minus_velocity", dtype="float32")(velocity)
        tensors["inverse_displacement"] = displacement(backwards, images["moving"])
        tensors["fixed_moved"] = transform(images["fixed"], tensors["inverse_displacement"])
    return tensors
