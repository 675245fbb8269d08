"""The model that trains a registration network."""

import keras
from keras import ops as K

from vxm_tf import ops


class RegistrationTrainer(keras.Model):
    """Wraps a network with what it is trained on: loss = similarity + weight * regularity.

    What is saved, loaded and served is `network`, which never holds a loss. Similarity compares moved
    with fixed; with `bidirectional` it is the mean of that and of fixed_moved with moving. Regularity
    takes the velocity, or the displacement of a network that integrates nothing.

    Where a batch holds `moving_target` and `fixed_target` beside the images, those are warped and compared in their
    place: what the network sees and what it is judged by may then differ, as for synthetic images of unlike contrast.

    Args:
        network: a model with `with_outputs`, such as `VxmDense`.
        similarity: loss of two images, such as `vxm_tf.losses.LNCC`.
        regularity: penalty of one field, such as `vxm_tf.losses.GradientPenalty`.
        weight: of the regularity.
        bidirectional: score both directions.

    Example:

    >>> from vxm_tf import losses, models, training
    >>> network = models.VxmDense((16, 16), features=((4,), (4,)))
    >>> trainer = training.RegistrationTrainer(network, losses.LNCC(), losses.GradientPenalty())
    >>> trainer.compile("adam")
    """

    def __init__(self, network, similarity, regularity, *, weight=1.0, bidirectional=False):
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

    def _names(self):
        """Of the network's outputs that the loss needs."""
        names = {"moved", "displacement", self.field_name}
        return names | {"fixed_moved", "inverse_displacement"} if self.bidirectional else names

    def call(self, images, training=False):
        answer = self.graph({name: images[name] for name in ("moving", "fixed")}, training=training)
        if "moving_target" not in images:
            return answer
        answer = {**answer, "moved": ops.warp(images["moving_target"], answer["displacement"])}
        if self.bidirectional:
            answer["fixed_moved"] = ops.warp(images["fixed_target"], answer["inverse_displacement"])
        return answer

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        regularity = K.mean(self.regularity(y_pred[self.field_name]))
        self.regularity_tracker.update_state(regularity)
        return self._similarity(x, y_pred) + self.weight * regularity

    def _similarity(self, images, answer):
        moving, fixed = (images.get(f"{name}_target", images[name]) for name in ("moving", "fixed"))
        similarity = self.similarity(fixed, answer["moved"])
        if self.bidirectional:
            similarity = 0.5 * (similarity + self.similarity(moving, answer["fixed_moved"]))
        self.similarity_tracker.update_state(similarity)
        return similarity
