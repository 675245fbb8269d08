"""A registration network that predicts its own uncertainty."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import initializers, layers
from keras import ops as K

from vxm_tf.models.registration_network import OUTPUTS
from vxm_tf.models.unet import Precision, spatial_layer
from vxm_tf.models.vxm_pyramid import VxmPyramid, coarse_to_fine
from vxm_tf.ops.prior import prior_noise
from vxm_tf.ops.tensors import Tensor

FIRST_DEVIATION = 0.2
"""Standard deviation of the velocity before training, in cells: voxels of its grid."""
WIDTH = 16
"""Number of features of the head that predicts the log variance."""


@keras.saving.register_keras_serializable(package="vxm_tf")
class VxmProbabilistic(VxmPyramid):
    """A `VxmPyramid` that predicts the mean and the log variance of a Gaussian velocity.

    Inputs and outputs are those of `VxmDense`, computed from the mean velocity; a further output is `log_variance`
    `[batch, *grid, ndim]`, in log of cells^2. `sample_velocity` draws from the distribution. Swapping the images
    changes the sign of the mean and does not change the variance. Source: Dalca et al., MICCAI 2018, but with noise
    that is correlated between voxels as in the prior, see `ops.prior_noise`, instead of independent.

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
    def _predict(images: dict[str, Tensor], settings: dict[str, Any], dtype: Precision) -> dict[str, Tensor]:
        velocity, features = coarse_to_fine(images, settings, dtype)
        return {"velocity": velocity, "log_variance": _log_variance(features, settings)}

    @staticmethod
    def sample_velocity(velocity: Tensor, log_variance: Tensor, seed: int | keras.random.SeedGenerator) -> Tensor:
        """Draw a velocity from the predicted distribution.

        Args:
            velocity: mean `[batch, *grid, ndim]`, in cells, an output of the network.
            log_variance: `[batch, *grid, ndim]`, in log of cells^2, an output of the network.
            seed: a whole number, or a `keras.random.SeedGenerator`.

        Returns:
            A velocity `[batch, *grid, ndim]`, in cells.
        """
        noise = keras.random.normal(K.shape(velocity), seed=seed, dtype="float32")
        return velocity + K.exp(0.5 * log_variance) * prior_noise(noise)


def _log_variance(features: Sequence[Tensor], settings: dict[str, Any]) -> Tensor:
    """The log variance, in log of cells^2, from the features of every grid, coarsest first.

    Computed in float32, like the velocity.
    """
    ndim = len(settings["image_shape"])
    tensor = features[0]
    for level, finer in enumerate(features[1:], 1):
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
