"""Named settings of the networks."""

from collections.abc import Collection
from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # VxmDense with VoxelMorph's own settings: 327,331 parameters for two single-channel volumes.
    "default": {
        "features": ((16, 32, 32, 32), (32, 32, 32, 32, 32, 16, 16)),
        "instance_normalization": False,
        "velocity_resolution": 1,
        "integration_resolution": 2,
        "integration_steps": 7,
    },
    # VxmDense with no convolution after the first on the full grid, more filters on the coarse levels, where they cost
    # little, and normalised features, which learn in half the steps.
    "fast": {
        "features": ((16, 32, 64, 64), (64, 64, 32, 32, 16)),
        "instance_normalization": True,
        "velocity_resolution": 2,
        "integration_resolution": 2,
        "integration_steps": 7,
    },
    # VxmPyramid. Most of a step's time goes into warps and forces, not into convolutions.
    "small": {"features": (8, 16, 24), "iterations": (0, 6, 8), "window": 5, "integration_steps": 7},
    "base": {"features": (16, 24, 32), "iterations": (6, 8, 6), "window": 5, "integration_steps": 7},
    "large": {"features": (32, 48, 64), "iterations": (12, 12, 12), "window": 5, "integration_steps": 7},
}


# VxmPyramid that compares edges, for images of unlike contrast.
PRESETS["any-contrast"] = {**PRESETS["base"], "descriptor": "edges"}

DENSE = ("default", "fast")
PYRAMIDS = ("small", "base", "large", "any-contrast")


def preset(name: str, known: Collection[str] = tuple(PRESETS)) -> dict[str, Any]:
    """The constructor arguments of a preset.

    Args:
        name: a key of `PRESETS`.
        known: names to choose from.

    Raises:
        ValueError: unknown name.
    """
    if name not in known:
        raise ValueError(f"There is no preset {name!r}; choose one of {', '.join(map(repr, known))}.")
    return dict(PRESETS[name])
