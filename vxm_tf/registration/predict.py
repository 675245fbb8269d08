"""Registration of one pair of arrays by one prediction of a network."""

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from vxm_tf.data.padding import common_shape, crop_from, pad_to
from vxm_tf.models import RegistrationNetwork


@dataclasses.dataclass(frozen=True)
class Registration:
    """A network's registration of one pair.

    Attributes:
        displacement: float32 `[*spatial, ndim]`, in voxels of the fixed image's grid:
            moved(x) = moving(x + displacement(x)).
        moved: the moving image, normalised as the network takes it, on the fixed grid, float32
            `[*spatial, channels]`.
        seconds: wall time of the prediction.
    """

    displacement: np.ndarray
    moved: np.ndarray
    seconds: float


def register_pair(network: RegistrationNetwork, moving: np.ndarray, fixed: np.ndarray) -> Registration:
    """Predict the displacement that aligns `moving` with `fixed`.

    Images of different shapes are centred on the smallest grid that holds both, their edges repeated, and the
    prediction is cropped to the fixed image's grid; the displacement then refers to the moving image centred on the
    fixed grid, as in `warp_labels`.

    Args:
        network: a `RegistrationNetwork`, such as `VxmDense`, for this shape or for any (`network.for_shape`).
        moving: moving image, float `[*spatial, channels]`, normalised as the network was trained.
        fixed: fixed image, float `[*spatial, channels]`, normalised in the same way, on a grid of the same voxel size.

    Raises:
        ValueError: images whose number of axes or channels is not the network's.
    """
    _check(network, moving, fixed)
    shape = common_shape(moving.shape[:-1], fixed.shape[:-1])
    images = {"moving": pad_to(moving, shape)[None], "fixed": pad_to(fixed, shape)[None]}
    start = time.perf_counter()
    answer = network.predict_on_batch(images)
    seconds = time.perf_counter() - start
    displacement, moved = (crop_from(np.asarray(answer[k][0]), fixed.shape[:-1]) for k in ("displacement", "moved"))
    return Registration(displacement, moved, seconds)


def displacement_by(network: RegistrationNetwork) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The function that computes the displacement of a moving and a fixed image by a network, see `register_pair`."""
    return lambda moving, fixed: register_pair(network, moving, fixed).displacement


def _check(network: RegistrationNetwork, moving: np.ndarray, fixed: np.ndarray) -> None:
    """Raise `ValueError` for images that the network does not take."""
    shape, channels = network.settings["image_shape"], network.settings["channels"]
    for name, image, count in zip(("moving", "fixed"), (moving, fixed), channels):
        if image.ndim - 1 != len(shape) or image.shape[-1] != count:
            raise ValueError(
                f"The network takes a {name} image with {len(shape)} spatial axes and {count} channel(s); got an "
                f"array of shape {image.shape} (channels last)."
            )
