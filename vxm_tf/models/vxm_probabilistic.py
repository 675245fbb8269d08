"""A registration network that says how sure it is."""

import math

import keras
from keras import initializers, layers
from keras import ops as K

from vxm_tf.models.registration_network import OUTPUTS
from vxm_tf.models.unet import spatial_layer
from vxm_tf.models.vxm_pyramid import VxmPyramid, coarse_to_fine
from vxm_tf.ops.prior import prior_noise

FIRST_DEVIATION = 0.2
"""Cells, before training."""
WIDTH = 16
"""Features of the head."""


@keras.saving.register_keras_serializable(package="vxm_tf")
class VxmProbabilistic(VxmPyramid):
    """A `VxmPyramid` that predicts the mean and the log variance of a Gaussian velocity.

    Answers are those of the mean, as of any other network; `log_variance` `[batch, *grid, ndim]`, in log of cells^2, is
    one more, see `VxmDense` for the others. `sample_velocity` draws from the distribution. Swapping the images changes
    the sign of the mean and leaves the variance. Source: Dalca et al., MICCAI 2018, but with noise that is correlated
    as the prior has it, see `ops.prior_noise`, instead of independent between voxels.

    Arguments, `from_preset` and errors are those of `VxmPyramid`.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.models import VxmProbabilistic
    >>> network = VxmProbabilistic((16, 20), features=(4, 6), iterations=(2, 2), outputs=("velocity", "log_variance"))
    >>> image = np.random.rand(1, 16, 20, 1).astype("float32")
    >>> answer = network({"moving": image, "fixed": image})
    >>> tuple(network.sample_velocity(answer["velocity"], answer["log_variance"], seed=0).shape)
    (1, 8, 10, 2)
    """

    ANSWERS = (*OUTPUTS, "log_variance")

    @staticmethod
    def _predict(images, settings, dtype):
        velocity, seen = coarse_to_fine(images, settings, dtype)
        return {"velocity": velocity, "log_variance": _log_variance(seen, settings)}

    @staticmethod
    def sample_velocity(velocity, log_variance, seed):
        """A velocity drawn from the distribution with this mean and log variance.

        Args:
            velocity, log_variance: `[batch, *grid, ndim]`, as the network answers them.
            seed: a whole number, or a `keras.random.SeedGenerator`.

        Returns:
            The same shape.
        """
        noise = keras.random.normal(K.shape(velocity), seed=seed, dtype="float32")
        return velocity + K.exp(0.5 * log_variance) * prior_noise(noise)


def _log_variance(seen, settings):
    """From the features of every grid, in float32 like the velocity's head."""
    ndim = len(settings["image_shape"])
    tensor = seen[0]
    for level, finer in enumerate(seen[1:], 1):
        up = spatial_layer("UpSampling", ndim)(2, dtype="float32", name=f"variance_up_{level}")(tensor)
        tensor = layers.Concatenate(dtype="float32", name=f"variance_seen_{level}")([up, finer])
    convolve, settings = spatial_layer("Conv", ndim), {"padding": "same", "dtype": "float32"}
    tensor = convolve(WIDTH, 3, activation="leaky_relu", name="variance_features", **settings)(tensor)
    start = initializers.RandomNormal(stddev=1e-5)
    bias = initializers.Constant(2.0 * math.log(FIRST_DEVIATION))
    head = convolve(ndim, 3, kernel_initializer=start, bias_initializer=bias, name="log_variance", **settings)
    # The pair and the swapped pair are equally uncertain.
    first, second = K.split(head(tensor), 2, axis=0)
    return 0.5 * (first + second)
