"""VoxelMorph 0.3.4's network with the widths of its papers; needs torch and voxelmorph."""

import torch
from voxelmorph.nn.models import VxmPairwise

FEATURES = [16, 32, 32, 32]
MULTIPLE = 2 ** len(FEATURES)


def new_network():
    return VxmPairwise(ndim=3, source_channels=1, target_channels=1, nb_features=FEATURES, integration_steps=7)


def in_bfloat16(function):
    """Let a function compute its convolutions in bfloat16 on CPUs where that is several times faster.

    Other CPUs emulate bfloat16, twenty times slower than float32; there the function stays as it is.
    """
    if not torch.cpu._is_avx512_bf16_supported():
        return function

    def call(*arguments):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return function(*arguments).float()

    return call


def load_network(weights):
    network = new_network()
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network


def padded(image):
    """Pad an image `[1, 1, *spatial]` with zeros at the far ends to multiples of the network's coarsest voxels."""
    behind = [-size % MULTIPLE for size in image.shape[2:]]
    return torch.nn.functional.pad(image, [end for size in reversed(behind) for end in (0, size)])
