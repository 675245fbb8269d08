"""Checks that a network from an old file aligns images, since the file may have been read wrongly.

A file does not always record which shift comes first or how a velocity is scaled, but the network's behaviour reveals
it: given a textured head and the same head 3 voxels further along the first axis, every published network of 2018
removes nine tenths of the squared difference, and increases it if its file is read wrongly.
"""

from collections.abc import Sequence

import numpy as np

from vxm_tf import ops
from vxm_tf.models.registration_network import RegistrationNetwork
from vxm_tf.ops.fusion import unfused

SIZE = 64
SHIFT = 3
# Shares of the squared difference: a network that aligns leaves less than the first, one that moves nothing more than
# the second.
ALIGNED, UNMOVED = 0.5, 0.95


def check_behaviour(network: RegistrationNetwork) -> list[str]:
    """Let a network align a synthetic pair, and describe each problem in a message.

    Args:
        network: registration network of any kind.

    Returns:
        Messages; an empty list if the network aligns the pair.
    """
    # Compiling for one small shape would take longer than the rest of the check.
    with unfused():
        return _complaints(network)


def _complaints(network: RegistrationNetwork) -> list[str]:
    shape = (SIZE,) * len(network.settings["image_shape"])
    moving, fixed = _shifted_pair(shape, network.settings["channels"])
    answer = network.for_shape(shape).with_outputs("displacement")({"moving": moving, "fixed": fixed})
    displacement = np.asarray(answer["displacement"])
    left = _difference_left(moving, fixed, displacement)
    if left < ALIGNED:
        return []
    exchanged = np.concatenate([displacement[..., 1::-1], displacement[..., 2:]], axis=-1)
    if _difference_left(moving, fixed, exchanged) < ALIGNED:
        return [
            "on a synthetic pair the network aligns only if its first two shifts are exchanged: the file is probably "
            "an 'xy' one that was read as 'ij', or the other way round. Convert it with the other --indexing."
        ]
    start = f"on a synthetic pair, {SHIFT} voxels apart, the network"
    if left > UNMOVED and np.abs(displacement).max() < 0.5:
        return [
            f"{start} moves nothing by half a voxel. It was not trained, or its velocity was scaled wrongly: if it is "
            "a MICCAI 2018 network built with use_miccai_int=True, convert it with --use_miccai_int."
        ]
    return [
        f"{start} leaves {100 * left:.0f} % of the squared difference. It was trained on other images, or was read "
        "wrongly (check --architecture, --indexing and --use_miccai_int). Look at a registration before you use it."
    ]


def _difference_left(moving: np.ndarray, fixed: np.ndarray, displacement: np.ndarray) -> float:
    """Share of the squared difference to the fixed image that is left after the warp."""
    moved = np.asarray(ops.warp(moving, displacement))
    before, after = (np.mean((image[..., 0] - fixed[..., 0]) ** 2) for image in (moving, moved))
    return float(after / before)


def _shifted_pair(shape: Sequence[int], channels: Sequence[int]) -> tuple[np.ndarray, ...]:
    """A pair (moving, fixed), `[1, *shape, channels]`, as bright as FreeSurfer's brains divided by 255."""
    head = _head(shape)
    images = np.roll(head, SHIFT, axis=0), head
    return tuple(np.repeat(image[None, ..., None], count, axis=-1) for image, count in zip(images, channels))


def _head(shape: Sequence[int]) -> np.ndarray:
    """A round synthetic head of three randomly folded tissues, `[*shape]`."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    inside = 1 / (1 + np.exp(30 * (np.sqrt(sum(axis**2 for axis in axes)) - 0.7)))
    noises = [_smooth(rng.normal(size=shape), width, 3) for width in (2, 4)]
    texture = sum(noise / noise.std() for noise in noises)
    tissue = np.select([texture > 0.3, texture > -1.0], [0.43, 0.27], 0.08)
    return _smooth(inside * tissue, 1, 1).astype("float32")


def _smooth(values: np.ndarray, width: int, times: int) -> np.ndarray:
    """Average over a box of 2 width + 1 voxels along every axis, periodic at the edges, repeatedly."""
    for axis in [axis for axis in range(values.ndim) for _ in range(times)]:
        rolled = [np.roll(values, shift, axis) for shift in range(-width, width + 1)]
        values = sum(rolled, start=np.zeros_like(values)) / len(rolled)
    return values
