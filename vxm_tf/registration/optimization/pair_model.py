"""The velocity of one pair of images as the only weight of a Keras model.

Keras computes gradients and steps on every backend, and the compiled step serves every later pair of the same shape:
images and start are inputs, and only the weight is reset.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops as K

from vxm_tf import ops
from vxm_tf.losses import GradientPenalty
from vxm_tf.losses.folding import folding_penalty
from vxm_tf.ops.alignment import CELL
from vxm_tf.ops.displacement import warp_with_slopes
from vxm_tf.ops.fusion import fused
from vxm_tf.ops.tensors import Tensor

EPSILON = 2e-2
"""Epsilon of Adam: below the gradient where images differ, above its noise where there is nothing to align."""


class PairModel(keras.Model):
    """Model whose loss is similarity + weight * regularity + fold_weight * folding of one pair.

    The velocity is `start + change`, where `change` is the model's weight. Regularity and folding are computed from
    the displacement on the velocity's grid, since resizing it to the image's grid adds no information.

    Args:
        grid: spatial shape of the velocity.
        image_shape: spatial shape of the images, at most `CELL` times the grid.
        similarity: loss that compares two images.
        weight: weight of the gradient penalty.
        fold_weight: weight of `folding_penalty`.
        integration_steps: number of squarings that integrate the velocity.

    Call arguments:
        inputs: `moving` and `fixed` `[1, *image_shape, channels]`, and `start` `[1, *grid, ndim]`, a velocity in voxels
            of its grid.
    """

    def __init__(
        self,
        grid: Sequence[int],
        image_shape: Sequence[int],
        similarity: Callable[[Tensor, Tensor], Tensor],
        *,
        weight: float,
        fold_weight: float,
        integration_steps: int,
    ) -> None:
        super().__init__(dtype="float32")
        self.image_shape = tuple(image_shape)
        self.similarity = similarity
        self.regularity = GradientPenalty()
        self.weight = weight
        self.fold_weight = fold_weight
        self.integration_steps = integration_steps
        # The gradient of a mean over all cells shrinks with their number; this factor turns the mean into a sum.
        self.scale = float(math.prod(grid))
        self.change = self.add_weight(shape=(1, *grid, len(grid)), initializer="zeros", name="change")
        # One XLA program for the whole step would compute the squarings several times.
        self.compile(optimizer=keras.optimizers.Adam(0.1, epsilon=EPSILON), jit_compile=False)
        self.built = True
        self.optimizer.build([self.change])
        self._fresh = [K.convert_to_numpy(variable) for variable in self.optimizer.variables]

    def call(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        velocity = inputs["start"] + self.change
        displacement = ops.integrate(velocity, self.integration_steps)
        fine = to_image_grid(displacement, self.image_shape)
        return {"displacement": displacement, "moved": _moved(fine, inputs["moving"])}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        displacement = y_pred["displacement"]
        loss = _compare(y_pred["moved"], x["fixed"], self.similarity)
        loss = loss + self.weight * K.mean(self.regularity(displacement))
        if self.fold_weight:
            loss = loss + self.fold_weight * K.mean(folding_penalty(displacement))
        return loss * self.scale

    def begin(self, change: np.ndarray) -> None:
        """Start a new pair: set the weight to `change` and reset the optimizer's memory."""
        self.change.assign(change)
        for variable, fresh in zip(self.optimizer.variables, self._fresh):
            variable.assign(fresh)

    def step(self, inputs: Mapping[str, Tensor], learning_rate: float) -> float:
        """Do one step of the optimizer and return the loss before it."""
        self.optimizer.learning_rate.assign(learning_rate)
        return float(self.train_on_batch(inputs, return_dict=True)["loss"]) / self.scale


def to_image_grid(displacement: Tensor, image_shape: Sequence[int]) -> Tensor:
    """A displacement `[batch, *grid, ndim]` in voxels of the image's grid; a cell has `CELL` along each axis."""
    fine = ops.resize(displacement, [CELL * size for size in displacement.shape[1:-1]])
    return fine[(slice(None), *(slice(0, size) for size in image_shape))]


@fused
def _moved(displacement: Tensor, image: Tensor) -> Tensor:
    """The moved image, whose derivative with respect to the displacement is that of `warp_with_slopes`."""
    still = K.stop_gradient(displacement)
    moved, *slopes = warp_with_slopes(K.stop_gradient(image), still)
    nothing = displacement - still
    return moved + sum(nothing[..., axis : axis + 1] * slope for axis, slope in enumerate(slopes))


@fused
def _compare(moved: Tensor, fixed: Tensor, similarity: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    # A compiled function computes the gradients of all its arguments unless they are stopped.
    return similarity(K.stop_gradient(fixed), moved)
