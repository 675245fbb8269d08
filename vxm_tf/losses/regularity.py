"""Penalties on velocity and displacement fields that are not smooth; each is 0 for a constant field.

A penalty takes one field, not a pair, so these are plain callables that serialise, not Keras losses.
Fields are in voxels of their own grid, so a first derivative has no unit and means the same on every grid.
"""

from typing import Any

import keras
from keras import ops as K

from vxm_tf.ops.differences import forward_differences, second_differences
from vxm_tf.ops.fusion import fused
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import as_float32, check_field

PENALTIES = ("l1", "l2")


@keras.saving.register_keras_serializable(package="vxm_tf")
class GradientPenalty:
    """Mean absolute or squared first derivative, by forward differences.

    The mean over the axes of mean(|d u / d x_axis|^p), p = 1 or 2. Source: Balakrishnan et al.,
    CVPR 2018, equation 6.

    Args:
        penalty: "l1" or "l2".

    Call arguments:
        field: `[batch, *spatial, ndim]`, in voxels; at least 2 voxels along each axis.

    Returns:
        `[batch]`, without unit.

    Raises:
        ValueError: unknown penalty, a field whose last axis is not `ndim`, or an axis with fewer than 2 voxels.
    """

    def __init__(self, penalty: str = "l2") -> None:
        if penalty not in PENALTIES:
            raise ValueError(f"penalty must be one of {PENALTIES}; got {penalty!r}.")
        self.penalty = penalty

    def __call__(self, field: Tensor) -> Tensor:
        check_field(field, "field", min_size=2)
        return _gradient_penalty(as_float32(field), self.penalty)

    def get_config(self) -> dict[str, Any]:
        return {"penalty": self.penalty}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "GradientPenalty":
        return cls(**config)


@fused
def _gradient_penalty(field: Tensor, penalty: str) -> Tensor:
    size = K.abs if penalty == "l1" else K.square
    ndim = len(field.shape) - 2
    terms = [_mean_per_item(size(forward_differences(field, axis))) for axis in range(1, ndim + 1)]
    return sum(terms) / ndim


@keras.saving.register_keras_serializable(package="vxm_tf")
class BendingEnergy:
    """Mean squared second derivative: zero for every affine field.

    The mean over voxels and components of the sum over axes i, j of (d^2 u / dx_i dx_j)^2. Source:
    Rueckert et al., IEEE TMI 1999, equation 3.

    Call arguments:
        field: `[batch, *spatial, ndim]`, in voxels; at least 3 voxels along each axis.

    Returns:
        `[batch]`, per voxel^2.

    Raises:
        ValueError: a field whose last axis is not `ndim`, or an axis with fewer than 3 voxels.
    """

    def __call__(self, field: Tensor) -> Tensor:
        check_field(field, "field", min_size=3)
        return _bending_energy(as_float32(field))

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BendingEnergy":
        return cls(**config)


@fused
def _bending_energy(field: Tensor) -> Tensor:
    ndim = len(field.shape) - 2
    energy = 0.0
    for i in range(1, ndim + 1):
        energy = energy + _mean_per_item(K.square(second_differences(field, i)))
        for j in range(i + 1, ndim + 1):
            mixed = forward_differences(forward_differences(field, i), j)
            energy = energy + 2.0 * _mean_per_item(K.square(mixed))
    return energy


def _mean_per_item(tensor: Tensor) -> Tensor:
    """Mean over all axes except the batch's."""
    return K.mean(tensor, axis=tuple(range(1, len(tensor.shape))))
