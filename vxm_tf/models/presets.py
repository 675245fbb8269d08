"""Named settings of `VxmDense`."""

PRESETS = {
    # VoxelMorph's own: 327,331 parameters for two single-channel volumes.
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
}


def preset(name: str) -> dict:
    """The settings of that name.

    Raises:
        ValueError: unknown name.
    """
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}; choose one of {', '.join(map(repr, PRESETS))}.")
    return dict(PRESETS[name])
