"""Building VoxelMorph's `VxmDense` from the constructor arguments that its files store."""

from pathlib import Path
from typing import Any

import numpy as np

from vxm_tf.models.legacy.legacy_file import LegacyFileError
from vxm_tf.models.presets import preset
from vxm_tf.models.vxm_dense import VxmDense

CLASSES = ("VxmDense", "VxmDenseSemiSupervisedSeg")
# The original's defaults; enc_nf and dec_nf are the names of version 0.1.
DEFAULTS: dict[str, Any] = {
    "inshape": None,
    "nb_unet_features": None,
    "nb_unet_levels": None,
    "unet_feat_mult": 1,
    "nb_unet_conv_per_level": 1,
    "int_steps": 7,
    "svf_resolution": 1,
    "int_resolution": 2,
    "int_downsize": None,
    "bidir": False,
    "use_probs": False,
    "src_feats": 1,
    "trg_feats": 1,
    "unet_half_res": False,
    "hyp_model": None,
    "fill_value": None,
    "enc_nf": None,
    "dec_nf": None,
}
# Arguments that change no output of the network; it takes the images of an `input_model` directly.
WITHOUT_EFFECT = {"input_model", "reg_field", "name", "metadata", "indexing"}
SEMI_SUPERVISED = {"nb_labels", "seg_resolution", "seg_downsize", "bidir_labels"}


def dense_network(arguments: dict[str, Any], path: Path, *, resize_rule: str) -> VxmDense:
    """An untrained `VxmDense` for VoxelMorph's constructor arguments.

    Args:
        arguments: arguments of the original's constructor.
        path: path of the file, for messages.
        resize_rule: "corners" to resize fields as the original did, "areas" to resize them as new networks do.

    Raises:
        LegacyFileError: arguments that are unknown, missing, or make a network that does not exist here.
    """
    check_arguments(arguments, path)
    settings = {**DEFAULTS, **{key: value for key, value in arguments.items() if key in DEFAULTS}}
    if not settings["inshape"]:
        raise LegacyFileError(f"{path}: the spatial shape is missing; give inshape, such as [160, 192, 224].")
    if settings["hyp_model"] is not None:
        raise LegacyFileError(
            f"{path}: a hyper-network (hyp_model) makes this network's weights; it cannot be adopted."
        )
    resolutions = _resolutions(settings, path)
    if resolutions["integration_resolution"] < resolutions["velocity_resolution"]:
        raise LegacyFileError(
            f"{path}: VoxelMorph left the field of a network with svf_resolution "
            f"{resolutions['velocity_resolution']} and int_resolution {resolutions['integration_resolution']} on the "
            "coarser grid, so it never aligned whole images; it cannot be adopted."
        )
    try:
        return VxmDense(
            tuple(settings["inshape"]),
            channels=(settings["src_feats"], settings["trg_feats"]),
            features=_features(settings),
            fill_value=settings["fill_value"],
            resize_rule=resize_rule,
            outputs=VxmDense.BIDIRECTIONAL
            if settings["bidir"] and settings["int_steps"]
            else ("moved", "displacement"),
            velocity_resolution=resolutions["velocity_resolution"],
            integration_resolution=resolutions["integration_resolution"],
            integration_steps=resolutions["integration_steps"],
        )
    except (ValueError, TypeError) as error:
        raise LegacyFileError(f"{path}: its constructor arguments make no network here: {error}") from error


def check_arguments(arguments: dict[str, Any], path: Path) -> None:
    """Raise `LegacyFileError` for an argument that VoxelMorph's constructors do not have."""
    unknown = sorted(set(arguments) - set(DEFAULTS) - WITHOUT_EFFECT - SEMI_SUPERVISED)
    if unknown:
        raise LegacyFileError(
            f"{path}: unknown constructor arguments {', '.join(unknown)}. Known are {', '.join(DEFAULTS)}."
        )


def _resolutions(settings: dict[str, Any], path: Path) -> dict[str, int]:
    """This package's settings of resolutions and integration steps, from VoxelMorph's arguments."""
    velocity = 2 if settings["unet_half_res"] else settings["svf_resolution"]
    integration = settings["int_resolution"] if settings["int_downsize"] is None else settings["int_downsize"]
    numbers = {"int_steps": settings["int_steps"], "svf_resolution": velocity, "int_resolution": integration}
    for name, value in numbers.items():
        if not isinstance(value, (int, float)) or value != int(value) or value < 0:
            raise LegacyFileError(f"{path}: {name} is a whole number from 0; got {value!r}.")
    steps = int(numbers["int_steps"])
    return {
        "velocity_resolution": int(velocity),
        "integration_resolution": int(integration) if steps else 1,
        "integration_steps": steps,
    }


def _features(settings: dict[str, Any]) -> tuple[tuple, tuple]:
    """Filter counts (encoder, decoder) as `unet` takes them, where several convolutions of one level make a tuple."""
    features, per_level = settings["nb_unet_features"], settings["nb_unet_conv_per_level"]
    if features is None and settings["enc_nf"]:
        features = (settings["enc_nf"], settings["dec_nf"])
    if features is None:
        features = preset("default")["features"]
    if isinstance(features, (int, float)):
        if not settings["nb_unet_levels"]:
            raise ValueError("nb_unet_features is one number, so nb_unet_levels must be given.")
        counts = np.round(features * float(settings["unet_feat_mult"]) ** np.arange(settings["nb_unet_levels"])).astype(
            int
        )
        features = np.repeat(counts[:-1], per_level), np.repeat(counts[::-1], per_level)
    encoder, decoder = ([int(count) for count in part] for part in features)
    beside_levels = decoder[len(encoder) :]
    levels = [_by_level(part[: len(encoder)], per_level) for part in (encoder, decoder)]
    return levels[0], (*levels[1], *beside_levels)


def _by_level(counts: list[int], per_level: int) -> tuple[int | tuple[int, ...], ...]:
    """Filter counts of a list of convolutions, grouped by level."""
    groups = (tuple(counts[start : start + per_level]) for start in range(0, len(counts), per_level))
    return tuple(group[0] if per_level == 1 else group for group in groups)
