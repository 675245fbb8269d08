"""The model that trains a registration network."""

from collections.abc import Callable

import keras
from keras import ops as K

from vxm_tf import ops
from vxm_tf.models import RegistrationNetwork
from vxm_tf.ops.tensors import Tensor


class RegistrationTrainer(keras.Model):
    """Wraps a network with its training loss, similarity + weight * regularity.

    Only `network` is saved, loaded and served; it never holds a loss. Similarity compares moved with fixed; with
    `bidirectional` it is the mean of that and the similarity of fixed_moved and moving. Regularity penalises the
    velocity, or the displacement of a network that integrates nothing.

    Where a batch holds `moving_target` and `fixed_target`, these are warped and compared in place of the images, so the
    loss may compare other images than those that the network sees, such as for synthetic images of unlike contrast.

    Args:
        network: a model with `with_outputs`, such as `VxmDense`.
        similarity: loss of two images, such as `vxm_tf.losses.LNCC`.
        regularity: penalty of one field, such as `vxm_tf.losses.GradientPenalty`.
        weight: weight of the regularity relative to the similarity.
        bidirectional: whether both directions are scored.

    Example:

    >>> from vxm_tf import losses, models, training
    >>> network = models.VxmDense((16, 16), features=((4,), (4,)))
    >>> trainer = training.RegistrationTrainer(network, losses.LNCC(), losses.GradientPenalty())
    >>> trainer.compile("adam")
    """

    def __init__(
        self,
        network: RegistrationNetwork,
        similarity: Callable[[Tensor, Tensor], Tensor],
        regularity: Callable[[Tensor], Tensor],
        *,
        weight: float = 1.0,
        bidirectional: bool = False,
    ) -> None:
        # No autocast: it would round the images to half precision before the network sees them.
        super().__init__(dtype=network.dtype_policy, autocast=False)
        self.network = network
        self.similarity = similarity
        self.regularity = regularity
        self.weight = weight
        self.bidirectional = bidirectional
        self.field_name = "velocity" if network.settings["integration_steps"] else "displacement"
        self.graph = network.with_outputs(*sorted(self._names()))
        self.similarity_tracker = keras.metrics.Mean(name="similarity")
        self.regularity_tracker = keras.metrics.Mean(name="regularity")

    def _names(self) -> set[str]:
        """Names of the network's outputs that the loss needs."""
        names = {"moved", "displacement", self.field_name}
        return names | {"fixed_moved", "inverse_displacement"} if self.bidirectional else names

    def call(self, images: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        answer = self.graph({name: images[name] for name in ("moving", "fixed")}, training=training)
        if "moving_target" not in images:
            return answer
        answer = {**answer, "moved": ops.warp(images["moving_target"], answer["displacement"])}
        if self.bidirectional:
            answer["fixed_moved"] = ops.warp(images["fixed_target"], answer["inverse_displacement"])
        return answer

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        regularity = K.mean(self.regularity(y_pred[self.field_name]))
        self.regularity_tracker.update_state(regularity)
        return self._similarity(x, y_pred) + self.weight * regularity

    def _similarity(self, images: dict[str, Tensor], answer: dict[str, Tensor]) -> Tensor:
        moving, fixed = (images.get(f"{name}_target", images[name]) for name in ("moving", "fixed"))
        similarity = self.similarity(fixed, answer["moved"])
        if self.bidirectional:
            similarity = 0.5 * (similarity + self.similarity(moving, answer["fixed_moved"]))
        self.similarity_tracker.update_state(similarity)
        return similarity
