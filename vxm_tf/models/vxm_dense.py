"""VoxelMorph's registration network."""

import keras
from keras import initializers, layers

from vxm_tf.layers import CropLike, PadToMultiple, ResizeDisplacement, SpatialTransformer, VecInt
from vxm_tf.models.presets import preset
from vxm_tf.models.unet import spatial_layer, unet

OUTPUTS = ("moved", "displacement", "fixed_moved", "inverse_displacement", "velocity")


@keras.saving.register_keras_serializable(package="vxm_tf")
class VxmDense(keras.Model):
    """A U-Net that sees both images and predicts the displacement that aligns them.

    Called with `{"moving", "fixed"}`, images `[batch, *image_shape, channels]` with intensities in
    [0, 1], it answers a dict of those of its `outputs`:

    - `moved` `[batch, *image_shape, moving channels]`: moved(x) = moving(x + displacement(x));
    - `displacement` `[batch, *image_shape, ndim]`, in voxels of the fixed image, `ij` order;
    - `fixed_moved`: the fixed image carried to the moving one, fixed(x + inverse_displacement(x));
    - `inverse_displacement`: the same shape as `displacement`;
    - `velocity` `[batch, *grid, ndim]`: the stationary velocity field that is integrated, in voxels of its
      own grid, which is the image's, padded to what the levels need, over `integration_resolution`.

    Images of any shape are padded and cropped inside the graph. Locations, fields and integration are
    float32 under every precision policy. Sources: Balakrishnan et al., CVPR 2018 and IEEE TMI 2019;
    Dalca et al., MICCAI 2018.

    `metadata`, a dict of plain values, is saved with the model: how its images were normalised, say.

    Args:
        image_shape: spatial shape; None for a size that may change from call to call.
        channels: of both images, or a pair (moving, fixed).
        features: a pair (encoder, decoder) of filter counts, see `unet`.
        instance_normalization: normalise features after each convolution, see `unet`.
        velocity_resolution: the network predicts on a grid this many times coarser than the image's;
            a power of two up to 2^levels.
        integration_resolution: likewise, for integration.
        integration_steps: squarings of scaling and squaring; 0 makes the network's answer a plain
            displacement, which may fold and has no inverse (CVPR 2018).
        outputs: names from the list above. `VxmDense.BIDIRECTIONAL` is the list for both directions.
        name: of the model.
        dtype: the precision policy of the convolutions; None for Keras' global one.

    Raises:
        ValueError: a shape with other than 1 to 3 axes, other than two numbers of channels, a resolution that
            is no power of two, an unknown output, or an inverse asked of a network without integration.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.models import VxmDense
    >>> network = VxmDense((15, 18), features=((4, 4), (4, 4, 4)))
    >>> image = np.random.rand(1, 15, 18, 1).astype("float32")
    >>> answer = network({"moving": image, "fixed": image})
    >>> sorted(answer), tuple(answer["displacement"].shape)
    (['displacement', 'moved'], (1, 15, 18, 2))
    """

    BIDIRECTIONAL = ("moved", "displacement", "fixed_moved", "inverse_displacement")

    def __init__(
        self,
        image_shape,
        *,
        channels=1,
        features=None,
        instance_normalization=False,
        velocity_resolution=1,
        integration_resolution=2,
        integration_steps=7,
        outputs=("moved", "displacement"),
        name=None,
        dtype=None,
    ):
        features = tuple(tuple(f) for f in (features or preset("default")["features"]))
        channels = (channels, channels) if isinstance(channels, int) else tuple(channels)
        settings = {
            "image_shape": tuple(image_shape),
            "channels": channels,
            "features": features,
            "instance_normalization": instance_normalization,
            "velocity_resolution": velocity_resolution,
            "integration_resolution": integration_resolution,
            "integration_steps": integration_steps,
            "outputs": (outputs,) if isinstance(outputs, str) else tuple(outputs),
        }
        _check(settings)
        dtype = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        images = {
            name: keras.Input((*settings["image_shape"], count), name=name, dtype="float32")
            for name, count in zip(("moving", "fixed"), channels)
        }
        tensors = _fields(images, _velocity(images, settings, dtype), settings)
        # Named one by one: Keras takes any keyword for a functional model, a misspelt setting too, without a word.
        super().__init__(inputs=images, outputs={key: tensors[key] for key in settings["outputs"]}, name=name)
        self.dtype_policy = dtype
        self.settings = settings
        self.tensors = tensors
        self.metadata = {}

    @classmethod
    def from_preset(cls, name, image_shape, **overrides):
        """A network with the settings of that name: "default", or "fast" for a network at half resolution.

        Raises:
            ValueError: unknown name.
        """
        return cls(image_shape, **{**preset(name), **overrides})

    def with_outputs(self, *names):
        """A model that shares this one's weights and answers `names`.

        Raises:
            ValueError: a name that this network cannot answer.
        """
        _check({**self.settings, "outputs": names})
        return keras.Model(self.input, {name: self.tensors[name] for name in names}, name=self.name)

    def for_shape(self, image_shape):
        """The same network, with a copy of its weights, for images of another shape (None: any size).

        Raises:
            ValueError: a shape with another number of axes.
        """
        axes = len(self.settings["image_shape"])
        if len(image_shape) != axes:
            raise ValueError(f"This network takes {axes}-D images; got an image of shape {tuple(image_shape)}.")
        if tuple(image_shape) == self.settings["image_shape"]:
            return self
        network = type(self).from_config({**self.get_config(), "image_shape": tuple(image_shape)})
        network.set_weights(self.get_weights())
        return network

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


def _velocity(images, settings, dtype):
    """The velocity field on the integration grid (the displacement, where nothing is integrated)."""
    encoder, decoder = settings["features"]
    resolution = settings["velocity_resolution"]
    both = layers.Concatenate(name="images", dtype="float32")([images["moving"], images["fixed"]])
    padded = PadToMultiple(2 ** len(encoder), name="padded", dtype="float32")(both)
    stop_level = resolution.bit_length() - 1
    normalization = settings["instance_normalization"]
    features = unet(padded, encoder, decoder, stop_level=stop_level, instance_normalization=normalization, dtype=dtype)
    ndim = len(settings["image_shape"])
    # float32 whatever the policy: float16 steps by 0.004 voxel at 4 voxels, bfloat16 by 0.03.
    head = spatial_layer("Conv", ndim)(
        ndim, 3, padding="same", kernel_initializer=initializers.RandomNormal(stddev=1e-5), dtype="float32", name="flow"
    )
    velocity = head(features)
    coarser = settings["integration_resolution"]
    return velocity if coarser == resolution else ResizeDisplacement(resolution / coarser, name="velocity")(velocity)


def _fields(images, velocity, settings):
    """Every output that the network can give, by name."""
    integrate = VecInt(settings["integration_steps"], name="integrate")
    resize = ResizeDisplacement(settings["integration_resolution"], name="to_image_grid")
    crop, transform = CropLike(name="crop", dtype="float32"), SpatialTransformer(name="transformer")

    def displacement(generator, image):
        return crop(resize(integrate(generator)), image)

    tensors = {"velocity": velocity, "displacement": displacement(velocity, images["fixed"])}
    tensors["moved"] = transform(images["moving"], tensors["displacement"])
    if settings["integration_steps"]:
        backwards = layers.Rescaling(-1.0, name="minus_velocity", dtype="float32")(velocity)
        tensors["inverse_displacement"] = displacement(backwards, images["moving"])
        tensors["fixed_moved"] = transform(images["fixed"], tensors["inverse_displacement"])
    return tensors


def _check(settings):
    shape, (encoder, _) = settings["image_shape"], settings["features"]
    if not 1 <= len(shape) <= 3:
        raise ValueError(f"image_shape holds 1 to 3 spatial sizes, without batch and channels; got {shape}.")
    if len(settings["channels"]) != 2:
        raise ValueError(f"channels is one number, or a pair (moving, fixed); got {settings['channels']}.")
    for name in ("velocity_resolution", "integration_resolution"):
        value = settings[name]
        if not isinstance(value, int) or value not in [2**level for level in range(len(encoder) + 1)]:
            raise ValueError(f"{name} is a power of two from 1 to {2 ** len(encoder)}; got {value}.")
    if not settings["outputs"]:
        raise ValueError(f"outputs names at least one of {', '.join(OUTPUTS)}.")
    for name in settings["outputs"]:
        if name not in OUTPUTS:
            raise ValueError(f"There is no output {name!r}; choose from {', '.join(OUTPUTS)}.")
        if name in ("inverse_displacement", "fixed_moved") and not settings["integration_steps"]:
            raise ValueError(
                f"A plain displacement (integration_steps=0) has no inverse, so there is no {name!r}. "
                "Set integration_steps to 5 or more, or leave this output out."
            )
