"""The velocity of one pair of images as the only weight of a Keras model.

Keras then differentiates and steps on every backend, and the compiled step serves every later pair of the
same shape: images and start come in as inputs, and only the weight is set back.
"""

import math

import keras
from keras import ops as K

from vxm_tf import ops
from vxm_tf.losses import GradientPenalty
from vxm_tf.losses.folding import folding_penalty
from vxm_tf.ops.alignment import CELL
from vxm_tf.ops.displacement import warp_with_slopes
from vxm_tf.ops.fusion import fused

EPSILON = 2e-2
"""Adam's: small beside the gradient where there is something to align, large beside the noise where there is not."""


class PairModel(keras.Model):
    """Velocity to loss, similarity + weight * regularity + fold_weight * folding.

    The velocity is `start + change`, `change` the weight. Regularity and folding are those of the
    displacement on the velocity's grid: resizing it to the image's adds nothing but voxels.

    Args:
        grid: spatial shape of the velocity.
        image_shape: spatial shape of the images, at most `CELL` times the grid.
        similarity: loss of two images.
        weight: of the gradient penalty.
        fold_weight: of `folding_penalty`.
        integration_steps: squarings.

    Call arguments:
        inputs: `moving` and `fixed` `[1, *image_shape, channels]`, and `start` `[1, *grid, ndim]`, a velocity in voxels
            of its grid.
    """

    def __init__(self, grid, image_shape, similarity, *, weight, fold_weight, integration_steps):
        super().__init__(dtype="float32")
        self.image_shape = tuple(image_shape)
        self.similarity = similarity
        self.regularity = GradientPenalty()
        self.weight = weight
        self.fold_weight = fold_weight
        self.integration_steps = integration_steps
        # The gradient of a mean over all cells falls with their number; of this sum it does not.
        self.scale = float(math.prod(grid))
        self.change = self.add_weight(shape=(1, *grid, len(grid)), initializer="zeros", name="change")
        # The whole step in one XLA program would compute the squarings over and over.
        self.compile(optimizer=keras.optimizers.Adam(0.1, epsilon=EPSILON), jit_compile=False)
        self.built = True
        self.optimizer.build([self.change])
        self._fresh = [K.convert_to_numpy(variable) for variable in self.optimizer.variables]

    def call(self, inputs):
        velocity = inputs["start"] + self.change
        displacement = ops.integrate(velocity, self.integration_steps)
        fine = to_image_grid(displacement, self.image_shape)
        return {"displacement": displacement, "moved": _moved(fine, inputs["moving"])}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        displacement = y_pred["displacement"]
        loss = _compare(y_pred["moved"], x["fixed"], self.similarity)
        loss = loss + self.weight * K.mean(self.regularity(displacement))
        if self.fold_weight:
            loss = loss + self.fold_weight * K.mean(folding_penalty(displacement))
        return loss * self.scale

    def begin(self, change):
        """Forget the pair before: the weight becomes `change`, the optimizer's memory as built."""
        self.change.assign(change)
        for variable, fresh in zip(self.optimizer.variables, self._fresh):
            variable.assign(fresh)

    def step(self, inputs, learning_rate: float) -> float:
        """One step of the optimizer; the loss before it."""
        self.optimizer.learning_rate.assign(learning_rate)
        return float(self.train_on_batch(inputs, return_dict=True)["loss"]) / self.scale


def to_image_grid(displacement, image_shape):
    """A displacement `[batch, *grid, ndim]` on the image's grid, of which each cell covers `CELL` voxels an axis."""
    fine = ops.resize(displacement, [CELL * size for size in displacement.shape[1:-1]])
    return fine[(slice(None), *(slice(0, size) for size in image_shape))]


@fused
def _moved(displacement, image):
    """The moved image, whose derivative in the displacement is that of `warp_with_slopes`."""
    still = K.stop_gradient(displacement)
    moved, *slopes = warp_with_slopes(K.stop_gradient(image), still)
    nothing = displacement - still
    return moved + sum(nothing[..., axis : axis + 1] * slope for axis, slope in enumerate(slopes))


@fused
def _compare(moved, fixed, similarity):
    # A compiled function computes the gradients of all its arguments, wanted or not; this says which is not.
    return similarity(K.stop_gradient(fixed), moved)
