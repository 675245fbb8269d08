"""KL divergence of predicted velocities from the prior."""

from typing import Any

import keras
from keras import ops as K

from vxm_tf.ops.differences import forward_differences, shifted
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32, check_field


@keras.saving.register_keras_serializable(package="vxm_tf")
class LaplacianKL:
    """KL divergence of a Gaussian velocity from the Laplacian prior, per voxel and component, up to a constant.

    With the mean m, the variance s^2 of each component at each voxel, the correlation r between neighbours and the
    prior exp(-lambda/2 sum |v(x) - v(y)|^2) over all pairs of neighbours,

        KL = lambda/2 sum over neighbours [|m - m'|^2 + (s - s')^2 + 2 (1 - r) s s'] - 1/2 sum over voxels log s^2

    divided by the number of voxels and components. Voxels at the border have fewer neighbours. With r = 0 the terms
    in s add up to s^2 times the number of neighbours, as for the independent voxels of Dalca et al., MICCAI 2018,
    equation 6.

    Args:
        prior_lambda: precision lambda of the prior, per voxel^2.
        correlation: correlation r between neighbouring voxels in the noise of drawn samples, see
            `vxm_tf.ops.neighbour_correlation`.

    Call arguments:
        mean: `[batch, *spatial, ndim]`, in voxels of its grid; at least 2 voxels along each axis.
        log_variance: `[batch, *spatial, ndim]`, log of voxels^2.

    Returns:
        `[batch]`, in nats.

    Raises:
        ValueError: a precision that is not positive, a correlation that is not from 0 to below 1, or a field whose
            last axis is not `ndim`.
    """

    def __init__(self, prior_lambda: float = 10.0, correlation: float = 0.0) -> None:
        if not prior_lambda > 0 or not 0 <= correlation < 1:
            raise ValueError(
                "prior_lambda is positive and correlation from 0 to below 1; got "
                f"prior_lambda={prior_lambda} and correlation={correlation}."
            )
        self.prior_lambda = prior_lambda
        self.correlation = correlation

    def __call__(self, mean: Tensor, log_variance: Tensor) -> Tensor:
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

    def get_config(self) -> dict[str, Any]:
        return {"prior_lambda": self.prior_lambda, "correlation": self.correlation}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LaplacianKL":
        return cls(**config)


def _sum(tensor: Tensor) -> Tensor:
    """Sum over all axes except the batch's."""
    return K.sum(tensor, axis=tuple(range(1, len(tensor.shape))))
