"""How far a distribution of velocities is from the prior."""

import keras
from keras import ops as K

from vxm_tf.ops.differences import forward_differences, shifted
from vxm_tf.ops.voxel_grid import as_float32, check_field


@keras.saving.register_keras_serializable(package="vxm_tf")
class LaplacianKL:
    """KL divergence of a Gaussian velocity from the Laplacian prior, a voxel and component, up to a constant.

    With the mean m, the variance s^2 of each component at each voxel, the correlation r between neighbours and the
    prior exp(-lambda/2 sum |v(x) - v(y)|^2) over all pairs of neighbours,

        KL = lambda/2 sum over neighbours [|m - m'|^2 + (s - s')^2 + 2 (1 - r) s s'] - 1/2 sum over voxels log s^2

    over the number of voxels and components. Voxels at the border have fewer neighbours. With r = 0 the middle terms
    are degree s^2: Dalca et al., MICCAI 2018, equation 6, where voxels are independent.

    Args:
        prior_lambda: precision of the prior, per voxel^2.
        correlation: r, of the noise that samples are drawn with, see `vxm_tf.ops.neighbour_correlation`.

    Call arguments:
        mean: `[batch, *spatial, ndim]`, voxels of its grid; at least 2 an axis.
        log_variance: the same shape, log of voxels^2.

    Returns:
        `[batch]`, nats.

    Raises:
        ValueError: a precision that is not positive, a correlation that is not from 0 to below 1, or a field whose
            last axis is not `ndim`.
    """

    def __init__(self, prior_lambda=10.0, correlation=0.0):
        if not prior_lambda > 0 or not 0 <= correlation < 1:
            raise ValueError(
                "prior_lambda is positive and correlation from 0 to below 1; got "
                f"prior_lambda={prior_lambda} and correlation={correlation}."
            )
        self.prior_lambda = prior_lambda
        self.correlation = correlation

    def __call__(self, mean, log_variance):
        ndim = check_field(mean, "mean", min_size=2)
        check_field(log_variance, "log variance", min_size=2)
        mean, log_variance = as_float32(mean), as_float32(log_variance)
        deviation = K.exp(0.5 * log_variance)
        apart = 0.0
        for axis in range(1, ndim + 1):
            both = shifted(deviation, axis, 1) * shifted(deviation, axis, 0, -1)
            apart += _sum(K.square(forward_differences(mean, axis)))
            apart += _sum(K.square(forward_differences(deviation, axis)) + 2.0 * (1.0 - self.correlation) * both)
        divergence = 0.5 * self.prior_lambda * apart - 0.5 * _sum(log_variance)
        return divergence / _sum(K.ones_like(mean))

    def get_config(self):
        return {"prior_lambda": self.prior_lambda, "correlation": self.correlation}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _sum(tensor):
    return K.sum(tensor, axis=tuple(range(1, len(tensor.shape))))
