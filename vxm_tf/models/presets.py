"""Named settings of the networks."""

PRESETS = {
    # VxmDense. VoxelMorph's own: 327,331 parameters for two single-channel volumes.
    "default": {
        "features": ((16, 32, 32, 32), (32, 32, 32, 32, 32, 16, 16)),
        "instance_normalization": False,
        "velocity_resolution": 1,
        "integration_resolution": 2,
        "integration_steps": 7,
    },
    # No convolution after the first runs on the full grid; width goes where it costs little, to the coarse levels;
    # normalised features learn in half the steps.
    "fast": {
        "features": ((16, 32, 64, 64), (64, 64, 32, 32, 16)),
        "instance_normalization": True,
        "velocity_resolution": 2,
        "integration_resolution": 2,
        "integration_steps": 7,
    },
    # VxmPyramid. What a step costs is mostly warps and forces, which no convolution's multiply-adds count.
    "small": {"features": (8, 16, 24), "iterations": (0, 6, 8), "window": 5, "integration_steps": 7},
    "base": {"features": (16, 24, 32), "iterations": (6, 8, 6), "window": 5, "integration_steps": 7},
    "large": {"features": (32, 48, 64), "iterations": (12, 12, 12), "window": 5, "integration_steps": 7},
}


# Compares edges, for images of unlike contrast.
PRESETS["any-contrast"] = {**PRESETS["base"], "descriptor": "edges"}

DENSE = ("default", "fast")
PYRAMIDS = ("small", "base", "large", "any-contrast")


def preset(name: str, known=tuple(PRESETS)) -> dict:
    """The settings of that name.

    Args:
        name: a key of `PRESETS`.
        known: the names to choose from.

    Raises:
        ValueError: unknown name.
    """
    if name not in known:
        raise ValueError(f"There is no preset {name!r}; choose one of {', '.join(map(repr, known))}.")
    return dict(PRESETS[name])
