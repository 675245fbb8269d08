"""Similarity of two images; each loss falls as they become more alike."""

from typing import Any

import keras
from keras import ops as K

from vxm_tf.ops.fusion import fused
from vxm_tf.ops.tensors import Tensor
from vxm_tf.ops.windows import window_mean


@keras.saving.register_keras_serializable(package="vxm_tf")
class LNCC(keras.losses.Loss):
    """Minus the mean squared local normalised cross-correlation.

    With mean E, variance V and covariance Cov over a box around each voxel, cc = Cov(I, J)^2 / (V(I) V(J) + eps), a
    value from 0 to 1 that is the same for positive and negative correlation and does not change with brightness or
    contrast. The loss is -mean(cc), from -1 to 0. Differences from VoxelMorph: every channel is scored on its own, a
    box at the border counts only voxels inside the image, and the covariance keeps its sign until it is squared.
    Source: Avants et al., Medical Image Analysis 2008, equation 6.

    Args:
        window: odd edge length of the box, in voxels.
        epsilon: added to the product of the two variances (squared intensities each), so that flat
            windows score 0.

    Call arguments:
        y_true, y_pred: `[batch, *spatial, channels]`.

    Raises:
        ValueError: even or non-positive window.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.losses import LNCC
    >>> image = np.random.default_rng(0).random((1, 15, 18, 1), "float32")
    >>> round(float(LNCC()(image, 1.0 - 2.0 * image)), 3)
    -1.0
    """

    def __init__(self, window: int = 9, *, epsilon: float = 1e-9, name: str = "lncc", **kwargs: Any) -> None:
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        if window < 1 or window % 2 == 0:
            raise ValueError(f"A window is centred on a voxel, so its edge is odd and at least 1; got {window}.")
        self.window = window
        self.epsilon = epsilon

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        spatial = tuple(range(1, len(y_true.shape) - 1))
        # Subtracting the global mean changes nothing but the rounding of E[IJ] - E[I]E[J].
        centred = [image - K.mean(image, axis=spatial, keepdims=True) for image in (y_true, y_pred)]
        score = _local_correlation(*centred, self.window, self.epsilon)
        return -K.mean(score, axis=(*spatial, len(spatial) + 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window, "epsilon": self.epsilon}


@fused
def _local_correlation(first: Tensor, second: Tensor, window: int, epsilon: float) -> Tensor:
    """Squared correlation cc of each voxel's box, `[batch, *spatial, channels]`."""
    mean_first, mean_second = window_mean(first, window), window_mean(second, window)
    covariance = window_mean(first * second, window) - mean_first * mean_second
    # Rounding can leave a flat window's variance a little below zero.
    variance_first = K.maximum(window_mean(first * first, window) - mean_first * mean_first, 0.0)
    variance_second = K.maximum(window_mean(second * second, window) - mean_second * mean_second, 0.0)
    return covariance * covariance / (variance_first * variance_second + epsilon)


@keras.saving.register_keras_serializable(package="vxm_tf")
class MSE(keras.losses.Loss):
    """Mean squared difference over the variance of the image noise, mean((I - J)^2) / sigma^2.

    Sources: Balakrishnan et al., CVPR 2018, equation 5; sigma from Dalca et al., MICCAI 2018.

    Args:
        image_sigma: standard deviation of the noise, in the images' intensity units.

    Call arguments:
        y_true, y_pred: `[batch, *spatial, channels]`.

    Raises:
        ValueError: `image_sigma` that is not positive.
    """

    def __init__(self, image_sigma: float = 1.0, *, name: str = "mse", **kwargs: Any) -> None:
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        if image_sigma <= 0:
            raise ValueError(f"image_sigma is a standard deviation and must be positive; got {image_sigma}.")
        self.image_sigma = image_sigma

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        squares = K.square(y_true - y_pred)
        return K.mean(squares, axis=tuple(range(1, len(squares.shape)))) / self.image_sigma**2

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "image_sigma": self.image_sigma}
