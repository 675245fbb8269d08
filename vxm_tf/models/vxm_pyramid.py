"""A coarse-to-fine registration network that is symmetric in its two images."""

import keras
from keras import layers
from keras import ops as K

from vxm_tf.layers import AlignmentForce, DescentStep, ResizeDisplacement, SpatialTransformer, VecInt
from vxm_tf.models.presets import PYRAMIDS, preset
from vxm_tf.models.registration_network import (
    RegistrationNetwork,
    channel_pair,
    feature_tuples,
    output_names,
    padded_images,
    velocity_head,
)
from vxm_tf.models.unet import LEAKY_SLOPE, convolve_block, spatial_layer
from vxm_tf.ops.alignment import CELL, swapped

DAMPING, MOMENTUM, SMOOTHING = 0.05, 0.5, 0.4
"""Of an untrained step. The smoothing is the finest grid's; every coarser grid has twice as much, up to 1."""


@keras.saving.register_keras_serializable(package="vxm_tf")
class VxmPyramid(RegistrationNetwork):
    """Descent on the images' similarity, unrolled and learned, from the coarsest grid to the finest.

    Called and answering as `VxmDense`. A velocity grows on grids 2, 4, 8, ... times coarser than the image's, the
    coarsest first, in a few steps on each. In a step both images, pooled to twice the fineness of the velocity, are
    warped half the way towards each other, m = moving o exp(v / 2) and f = fixed o exp(-v / 2). They pull at each
    other with a force that needs no training, see `ops.alignment_force`; convolutions, which also see the features
    that one encoder finds in either image, correct it:

        v <- v + gain * (p(m, f) - p(f, m)) / 2 + (r(m, f) - r(f, m)) / 2 + smoothing * (S v - v) + momentum * last step

    with the force p, the correction r and a local mean S. All steps on a grid share their weights. An untrained network
    therefore registers already, and training has little left to learn. Both halves meet in one place and swapping the
    images changes the sign of the velocity and nothing else, so the displacement of the swapped pair is the inverse.

    Sources: unrolled descent as in Qiu et al. (GraDIRN), MIDL 2022; the symmetric midpoint of Avants et al., Medical
    Image Analysis 2008; scaling and squaring as in `VecInt`.

    Args:
        image_shape: spatial shape; None for a size that may change from call to call.
        channels: of each image; both have as many.
        features: the encoder's filters for each grid, finest first. `VxmPyramid.from_preset` has named choices.
        iterations: steps on each grid, finest first; as many grids as `features`.
        hidden: filters of the convolutions in a step.
        window: of the local correlation, in voxels of each grid's velocity.
        integration_steps: squarings, 1 or more.
        outputs: names, see `VxmDense`.
        name: of the model.
        dtype: the precision policy of the convolutions; None for Keras' global one.

    Raises:
        ValueError: a shape with other than 1 to 3 axes, unequal channels, no grid, or an unknown output.

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
        image_shape,
        *,
        channels=1,
        features=None,
        iterations=None,
        hidden=8,
        window=5,
        integration_steps=7,
        outputs=("moved", "displacement"),
        name=None,
        dtype=None,
    ):
        settings = {
            "image_shape": tuple(image_shape),
            "channels": channel_pair(channels),
            "features": feature_tuples(features or preset("base")["features"]),
            "iterations": feature_tuples(iterations or preset("base")["iterations"]),
            "hidden": hidden,
            "window": window,
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
        features, iterations = settings["features"], settings["iterations"]
        if isinstance(features, int) or isinstance(iterations, int) or len(features) != len(iterations):
            raise ValueError(
                "features and iterations each hold one number for each grid, finest first; got "
                f"features {features} and iterations {iterations}."
            )
        if settings["integration_steps"] < 1:
            raise ValueError("A network that is its own inverse integrates: integration_steps is 1 or more.")

    @classmethod
    def _integration_resolution(cls, settings):
        return CELL


def _velocity(images, settings, dtype):
    """The velocity on half the image's grid, in voxels of its own grid."""
    channels, levels = settings["channels"][0], len(settings["features"])
    padded = padded_images(images, CELL**levels)
    # Everything that is done to either image is done once, with the fixed behind the moving in the batch.
    both = K.concatenate([padded[..., :channels], padded[..., channels:]], axis=0)
    pooled, features = _images_of_each_grid(both, levels), _features_of_each_grid(both, settings, dtype)
    velocity = _no_velocity(pooled[-1])
    for level in reversed(range(levels)):
        if level < levels - 1:
            velocity = ResizeDisplacement(CELL, name=f"velocity_up_{level}")(velocity)
        context = _context(features[level], velocity, level, settings, dtype)
        velocity = _descend(velocity, pooled[level], context, level, settings, dtype)
    return velocity


def _images_of_each_grid(both, levels):
    """The images as they are, then twice, four times, ... coarser: the last on the coarsest velocity's grid."""
    pooled = [both]
    for level in range(levels):
        pool = spatial_layer("AveragePooling", len(both.shape) - 2)(CELL, dtype="float32", name=f"pooled_{level}")
        pooled.append(pool(pooled[-1]))
    return pooled


def _features_of_each_grid(both, settings, dtype):
    """The encoder's features on the grid of each velocity, finest first."""
    tensor, pyramid = both, []
    for level, filters in enumerate(settings["features"]):
        for part, size in (("down", {"kernel_size": CELL, "strides": CELL}), ("same", {})):
            # Two voxels wide, so that a voxel of the coarse grid sees just the voxels it covers.
            name = f"encoder_{part}_{level}"
            tensor = convolve_block(tensor, filters, instance_normalization=True, dtype=dtype, name=name, **size)
        pyramid.append(tensor)
    return pyramid


def _no_velocity(both):
    """Zeros on that grid, for each pair."""
    first = K.zeros_like(K.split(both, 2, axis=0)[0][..., :1])
    return K.repeat(first, len(both.shape) - 2, axis=-1)


def _context(features, velocity, level, settings, dtype):
    """What the steps of one grid know of both images' features, as far as the velocity has brought them together."""
    displacement = _halfway(velocity, settings, f"meeting_features_{level}")
    met = SpatialTransformer(name=f"met_features_{level}")(features, displacement)
    pair = layers.Concatenate(dtype=dtype, name=f"features_{level}")([met, swapped(met)])
    # From zero, so that an untrained network follows the force.
    ndim = len(settings["image_shape"])
    return _convolution(settings["hidden"], ndim, f"context_{level}", dtype, kernel_initializer="zeros")(pair)


def _descend(velocity, both, context, level, settings, dtype):
    """The velocity after the steps of one grid."""
    ndim = len(settings["image_shape"])
    update = _update(level, settings, dtype)
    # A force is short by up to ndim times.
    step = DescentStep(float(ndim), min(1.0, SMOOTHING * 2**level), MOMENTUM, name=f"step_{level}")
    last = K.zeros_like(velocity)
    for number in range(settings["iterations"][level]):
        part = f"{level}_{number}"
        cells = _halfway(velocity, settings, f"meeting_{part}")
        displacement = ResizeDisplacement(CELL, name=f"meeting_up_{part}")(cells)
        met = SpatialTransformer(name=f"met_{part}")(both, displacement)
        force = AlignmentForce(settings["window"], DAMPING, name=f"force_{part}")(*K.split(met, 2))
        first, second, correlation = force[..., :ndim], force[..., ndim:-1], force[..., -1:]
        moved = step(velocity, 0.5 * (first - second), last)
        moved += update(first, second, correlation, velocity, last, context)
        velocity, last = moved, moved - velocity
    return velocity


def _update(level, settings, dtype):
    """The correction of a step, as a function whose convolutions all steps of one grid share."""
    ndim, hidden = len(settings["image_shape"]), settings["hidden"]
    seen = _convolution(hidden, ndim, f"seen_{level}", dtype, use_bias=False)
    activate = layers.LeakyReLU(LEAKY_SLOPE, dtype=dtype, name=f"activation_{level}")
    flow = velocity_head(ndim, f"flow_{level}")

    def update(first, second, correlation, velocity, last, context):
        state = K.concatenate([0.5 * velocity, last], axis=-1)
        sides = (ndim * first, correlation, state), (ndim * second, correlation, -state)
        both = K.concatenate([K.concatenate(side, axis=-1) for side in sides], axis=0)
        return _antisymmetric(flow(activate(seen(both) + context)))

    return update


def _convolution(filters, ndim, name, dtype, **settings):
    settings = {"padding": "same", "kernel_initializer": "he_normal", **settings}
    return spatial_layer("Conv", ndim)(filters, 3, dtype=dtype, name=name, **settings)


def _halfway(velocity, settings, name):
    """Displacement of each image, in cells, half the way towards the other; there and back in one batch."""
    half = 0.5 * velocity
    # Half as long as what the steps are meant for, and only to look from there: fewer squarings reach as far.
    steps = max(settings["integration_steps"] - 4, 0)
    return VecInt(steps, name=name)(K.concatenate([half, -half], axis=0))


def _antisymmetric(both):
    first, second = K.split(both, 2, axis=0)
    return 0.5 * (first - second)
