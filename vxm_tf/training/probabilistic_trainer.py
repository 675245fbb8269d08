"""The model that trains a probabilistic network."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops as K

from vxm_tf import ops
from vxm_tf.losses import LaplacianKL
from vxm_tf.models import RegistrationNetwork
from vxm_tf.ops.prior import neighbour_correlation
from vxm_tf.ops.tensors import Tensor
from vxm_tf.training.trainer import RegistrationTrainer


class ProbabilisticTrainer(RegistrationTrainer):
    """A `RegistrationTrainer` for a `VxmProbabilistic`: expected similarity, and divergence from the prior.

        loss = similarity of a sample + weight (2 / (prior_lambda ndim)) KL

    which is the negative evidence lower bound divided by a constant (Dalca et al., MICCAI 2018, equation 5). With this
    scale, the KL's term of the mean is `weight` times `losses.GradientPenalty` of the mean, whatever `prior_lambda`:
    the mean is trained as a network without variance is, and `prior_lambda` decides the size of the variance alone.
    With the published weights of the two terms, one number decides both. Validation scores the mean, and the reported
    regularity is the gradient penalty of the mean.

    Args:
        network: a `VxmProbabilistic`.
        prior_lambda: precision of the prior, per cell^2 of the velocity's grid.
        similarity: see `RegistrationTrainer`.
        regularity: penalty that is reported, see `RegistrationTrainer`.
        seed: seed of the sampled velocities.
        **others: further arguments of `RegistrationTrainer`.
    """

    def __init__(
        self,
        network: RegistrationNetwork,
        similarity: Callable[[Tensor, Tensor], Tensor],
        regularity: Callable[[Tensor], Tensor],
        *,
        prior_lambda: float = 10.0,
        seed: int = 0,
        **others: Any,
    ) -> None:
        super().__init__(network, similarity, regularity, **others)
        ndim = len(network.settings["image_shape"])
        self.divergence = LaplacianKL(prior_lambda, neighbour_correlation(ndim))
        self.scale = 2.0 / (prior_lambda * ndim)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.divergence_tracker = keras.metrics.Mean(name="divergence")
        self.deviation_tracker = keras.metrics.Mean(name="deviation")

    def _names(self) -> set[str]:
        return {*super()._names(), "log_variance"}

    def call(self, images: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        answer = super().call(images, training=training)
        if not training:
            return answer
        sample = self.network.sample_velocity(answer["velocity"], answer["log_variance"], self.seed_generator)
        moving, fixed = (images.get(f"{name}_target", images[name]) for name in ("moving", "fixed"))
        answer["moved"] = ops.warp(moving, self._displacement(sample, fixed))
        if self.bidirectional:
            answer["fixed_moved"] = ops.warp(fixed, self._displacement(-sample, moving))
        return answer

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        similarity = self._similarity(x, y_pred)
        mean, log_variance = y_pred["velocity"], y_pred["log_variance"]
        divergence = K.mean(self.divergence(mean, log_variance))
        self.regularity_tracker.update_state(K.mean(self.regularity(mean)))
        self.divergence_tracker.update_state(divergence)
        self.deviation_tracker.update_state(K.mean(K.exp(0.5 * log_variance)))
        return similarity + self.weight * self.scale * divergence

    def _displacement(self, velocity: Tensor, image: Tensor) -> Tensor:
        return self.network.integrated(velocity, K.shape(image)[1:-1], self.network.settings["integration_steps"])
