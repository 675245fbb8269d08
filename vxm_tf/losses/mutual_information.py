"""Mutual information of two images, whose intensities may be related in any way."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops as K

from vxm_tf.ops.fusion import fused
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.voxel_grid import axis_indices, spatial_shape

WINDOW = 3
"""Number of bins over which one intensity is spread: the support of the quadratic B-spline."""


@keras.saving.register_keras_serializable(package="vxm_tf")
class MutualInformation(keras.losses.Loss):
    """Minus the mutual information of two images' intensities, in nats, plain (not normalised).

    With p the joint histogram of the intensities (i, j), I = sum p(i, j) log(p(i, j) / (p(i) p(j))): 0 for
    images that are independent, the entropy of an image that the other one determines. Intensities must be
    related, not alike, so inverting an image changes nothing. The histogram is smooth in the intensities:
    each is spread over three bins by a quadratic B-spline, the Parzen window (Thévenaz and Unser, IEEE TIP 2000).

    A relation of intensities over a whole image says little about a small region of it. With `patch` there is one
    histogram for each block of the image, and the loss is minus the mutual information within a block, averaged over
    voxels (conditional mutual information, Loeckx et al., IEEE TMI 2010, there with blocks that overlap). Every
    channel is scored on its own.

    Args:
        num_bins: number of histogram bins of each image; the intensity 0 is the centre of the second bin, 1 the centre
            of the last but one.
        patch: edge of the blocks in voxels, rounded so that the axis is divided evenly; 0 for one histogram.

    Call arguments:
        y_true, y_pred: `[batch, *spatial, channels]`, intensities in [0, 1]; other values are clipped.

    Raises:
        ValueError: less than 4 bins, or a negative patch.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.losses import MutualInformation
    >>> image = np.random.default_rng(0).random((1, 15, 18, 1), "float32")
    >>> loss = MutualInformation(8)
    >>> bool(abs(loss(image, image) - loss(image, 1 - image)) < 1e-5)
    True
    """

    def __init__(self, num_bins: int = 32, *, patch: int = 0, name: str = "mutual_information", **kwargs: Any) -> None:
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        if num_bins <= WINDOW:
            raise ValueError(f"An intensity falls into {WINDOW} bins, so there are 4 or more; got num_bins={num_bins}.")
        if patch < 0:
            raise ValueError(f"patch is the edge of a block in voxels, or 0 for the whole image; got {patch}.")
        self.num_bins = num_bins
        self.patch = patch

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return -_information(y_true, y_pred, self.num_bins, self.patch)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins, "patch": self.patch}


@fused
def _information(first: Tensor, second: Tensor, num_bins: int, patch: int) -> Tensor:
    """Mutual information in nats, the mean over channels, `[batch]`."""
    batch, *shape, channels = K.shape(first)
    block, num_blocks = _blocks(first, patch)
    joint = _joint_histogram(first, second, block, batch * channels * num_blocks, num_bins)
    joint = K.reshape(joint, (batch, channels, num_blocks, num_bins, num_bins)) / _voxels(shape)
    first_only, second_only = K.sum(joint, axis=4), K.sum(joint, axis=3)
    entropies = _entropy(first_only) + _entropy(second_only) - _entropy(joint) - _entropy(K.sum(first_only, axis=3))
    return K.mean(entropies, axis=1)


def _blocks(image: Tensor, patch: int) -> tuple[Tensor, int | Tensor]:
    """Number of the block that each value of the images belongs to, and the number of blocks of one channel."""
    batch, *_, channels = K.shape(image)
    index, total = K.zeros_like(image, dtype="int32"), 1
    for axis, size in enumerate(spatial_shape(image)):
        count = K.maximum((2 * size + patch) // (2 * patch), 1) if patch else 1
        place = K.cast(axis_indices(size, axis, len(image.shape) - 2), "int32")[..., None]
        index, total = index * count + (2 * place + 1) * count // (2 * size), total * count
    item = K.reshape(K.arange(batch * channels, dtype="int32"), [batch, *[1] * (len(image.shape) - 2), channels])
    return index + item * total, total


def _joint_histogram(first: Tensor, second: Tensor, block: Tensor, num_blocks: int | Tensor, num_bins: int) -> Tensor:
    """Joint histogram of each block, `[num_blocks * num_bins^2]`, in voxels."""
    rows, columns = _window(first, num_bins), _window(second, num_bins)
    histogram = 0.0
    for (row, row_weight), (column, column_weight) in itertools.product(rows, columns):
        index = (block * num_bins + row) * num_bins + column
        weight = K.reshape(row_weight * column_weight, (-1,))
        histogram = histogram + K.segment_sum(weight, K.reshape(index, (-1,)), num_blocks * num_bins**2)
    return histogram


def _window(image: Tensor, num_bins: int) -> list[tuple[Tensor, Tensor]]:
    """The three bins over which every intensity is spread, as (bin number, weight); the weights sum to 1."""
    position = K.clip(image, 0.0, 1.0) * (num_bins - WINDOW) + 1.0
    nearest = K.cast(K.floor(position + 0.5), "int32")
    beyond = position - K.cast(nearest, "float32")
    weights = 0.5 * K.square(0.5 - beyond), 0.75 - K.square(beyond), 0.5 * K.square(0.5 + beyond)
    return [(nearest + step, weight) for step, weight in zip((-1, 0, 1), weights)]


def _entropy(probabilities: Tensor) -> Tensor:
    """Entropy `[batch, channels]`, in nats: minus the sum of p log p over all further axes."""
    terms = probabilities * K.log(K.maximum(probabilities, 1e-12))
    return -K.sum(terms, axis=tuple(range(2, len(terms.shape))))


def _voxels(shape: Sequence[int | Tensor]) -> float | Tensor:
    """Number of voxels of an image."""
    if all(isinstance(size, int) for size in shape):
        return float(math.prod(shape))
    return K.cast(K.prod(K.stack(shape)), "float32")
