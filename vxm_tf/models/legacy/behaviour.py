"""Does an adopted network align images, or was its file read wrongly?

A file does not always tell which shift comes first or how a velocity is scaled. A network says it itself:
given a textured head and the same head 3 voxels further along the first axis, every published network of
2018 takes away nine tenths of the difference, and read wrongly adds to it.
"""

import numpy as np

from vxm_tf import ops
from vxm_tf.ops.fusion import unfused

SIZE = 64
SHIFT = 3
# Of the squared difference before: what an aligning network leaves at most, and what one that moves nothing leaves.
ALIGNED, UNMOVED = 0.5, 0.95


def check_behaviour(network) -> list[str]:
    """What is wrong with how the network aligns a synthetic pair; an empty list if nothing is.

    Args:
        network: any `RegistrationNetwork`.
    """
    # Compiling for one small shape would take longer than all the rest.
    with unfused():
        return _complaints(network)


def _complaints(network):
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


def _difference_left(moving, fixed, displacement):
    """Squared difference to the fixed image after the warp over that before it."""
    moved = np.asarray(ops.warp(moving, displacement))
    before, after = (np.mean((image[..., 0] - fixed[..., 0]) ** 2) for image in (moving, moved))
    return float(after / before)


def _shifted_pair(shape, channels):
    """(moving, fixed), `[1, *shape, channels]`, in the brightness of a FreeSurfer brain over 255."""
    head = _head(shape)
    images = np.roll(head, SHIFT, axis=0), head
    return tuple(np.repeat(image[None, ..., None], count, axis=-1) for image, count in zip(images, channels))


def _head(shape):
    """A round head of three tissues in random folds."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    inside = 1 / (1 + np.exp(30 * (np.sqrt(sum(axis**2 for axis in axes)) - 0.7)))
    noises = [_smooth(rng.normal(size=shape), width, 3) for width in (2, 4)]
    texture = sum(noise / noise.std() for noise in noises)
    tissue = np.select([texture > 0.3, texture > -1.0], [0.43, 0.27], 0.08)
    return _smooth(inside * tissue, 1, 1).astype("float32")


def _smooth(values, width, times):
    """Box averages along every axis, around the edges."""
    for axis in [axis for axis in range(values.ndim) for _ in range(times)]:
        values = sum(np.roll(values, shift, axis) for shift in range(-width, width + 1)) / (2 * width + 1)
    return values
