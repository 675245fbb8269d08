"""Recognising the networks of 2018 in a file, and reading their settings from it."""

import dataclasses
from typing import Any

import numpy as np

from vxm_tf.models.legacy.legacy_file import LegacyFile, LegacyFileError, NamedTensors
from vxm_tf.models.legacy.vxm_2018 import LEVELS, Vxm2018

OLD_TRANSFORMER = "Dense3DSpatialTransformer"


@dataclasses.dataclass(frozen=True)
class Features2018:
    """Filter counts of a network of 2018, read from the shapes of its kernels.

    Attributes:
        channels: number of channels of both images together.
        encoder: filter counts of the four encoder convolutions.
        decoder: filter counts of the five (half resolution) to seven decoder convolutions.
    """

    channels: int
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]

    @property
    def integrates(self) -> bool:
        """Whether the network predicts a velocity, as those of MICCAI 2018 do, and not a displacement."""
        return len(self.decoder) == LEVELS + 1


def features_of_2018(tensors: NamedTensors) -> Features2018 | None:
    """The filter counts of a network of 2018, or None if the kernels do not chain as in those networks.

    Args:
        tensors: tensors of the registration network, without the log-variance head.
    """
    kernels = [array.shape[-2:] for _, array in tensors if array.ndim > 2]
    inputs, outputs = [shape[0] for shape in kernels], [shape[1] for shape in kernels]
    if not LEVELS + 6 <= len(kernels) <= LEVELS + 8:
        return None
    encoder, decoder = outputs[:LEVELS], outputs[LEVELS:-1]
    expected = [inputs[0], *encoder, *(decoder[i] + encoder[2 - i] for i in range(3)), decoder[3]]
    expected.append(decoder[LEVELS] + (inputs[0] if len(decoder) > LEVELS + 1 else 0))
    expected += decoder[LEVELS + 1 :]
    return Features2018(inputs[0], tuple(encoder), tuple(decoder)) if inputs == expected else None


def network_of_2018(
    file: LegacyFile, features: Features2018, arguments: dict[str, Any], *, resize_rule: str
) -> Vxm2018:
    """Build the untrained network that a file of 2018 describes.

    Args:
        file: content of the file.
        features: filter counts of its network.
        arguments: VoxelMorph's constructor arguments that override the file's.
        resize_rule: "origin" to resize fields as the original did, "areas" to resize them as new networks do.

    Raises:
        LegacyFileError: channels or integration steps that contradict the file.
    """
    configs = [layer["config"] for layer in file.layers if layer["class_name"] == "InputLayer"]
    inputs = [config.get("batch_input_shape") or config["batch_shape"] for config in configs]
    ndim = [array.ndim for _, array in file.tensors if array.ndim > 2][0] - 2
    shape = arguments.get("inshape") or (inputs[0][1:-1] if inputs else (None,) * ndim)
    channels = [entry[-1] for entry in inputs] or [features.channels // 2] * 2
    channels = [arguments.get("src_feats", channels[0]), arguments.get("trg_feats", channels[-1])]
    if sum(channels) != features.channels:
        raise LegacyFileError(
            f"{file.path}: the network takes {features.channels} channels in all, which {channels} (moving, fixed) do "
            "not make. Give src_feats and trg_feats in the architecture."
        )
    steps = _integration_steps(file, arguments) if features.integrates else 0
    return Vxm2018(
        tuple(shape),
        channels=tuple(channels),
        features=(features.encoder, features.decoder),
        integration_steps=steps,
        resize_rule=resize_rule,
    )


def indexing_of(file: LegacyFile, flag: str | None) -> str:
    """Order of the shifts in the network's field, "ij" or "xy".

    The first transformer layer uses "xy"; its successor may record its order and uses "ij" by default.

    Args:
        file: content of the file.
        flag: the user's `--indexing`, or None.

    Raises:
        LegacyFileError: the user contradicts the file, or neither tells.
    """
    record = None
    for layer in file.layers:
        if layer["class_name"] == OLD_TRANSFORMER:
            record = "xy"
        elif layer["class_name"] == "SpatialTransformer":
            record = layer["config"].get("indexing")
    if record and flag and record != flag:
        raise LegacyFileError(
            f"{file.path}: its layers say that its shifts are {record}, not {flag}. Leave --indexing out."
        )
    indexing = record or flag or ("ij" if file.layers else None)
    if indexing is None:
        raise LegacyFileError(
            f"{file.path}: holds weights alone, which do not tell whose shift comes first. Give --indexing ij, or "
            f"--indexing xy for files of early 2018 (those of Keras 2.1, whose layers were {OLD_TRANSFORMER})."
        )
    return indexing


def squares_undivided(file: LegacyFile, features: Features2018, flag: bool | None) -> bool:
    """Whether the velocity is squared without division before; the file then has one layer for each addition.

    Args:
        file: content of the file.
        features: filter counts of its network.
        flag: the user's `--use_miccai_int`, or None.

    Raises:
        LegacyFileError: the user contradicts the file, or neither tells.
    """
    if not features.integrates:
        if flag:
            raise LegacyFileError(f"{file.path}: a CVPR 2018 network integrates nothing. Leave --use_miccai_int out.")
        return False
    classes = [layer["class_name"] for layer in file.layers]
    record = "VecInt" not in classes and "Add" in classes if classes else None
    if record is not None and flag is not None and record != flag:
        raise LegacyFileError(
            f"{file.path}: its layers say that its velocity is squared {'without' if record else 'after'} division. "
            "Leave --use_miccai_int out."
        )
    undivided = flag if record is None else record
    if undivided is None:
        raise LegacyFileError(
            f"{file.path}: holds weights alone, which do not tell how their velocity is integrated. Give "
            "--nouse_miccai_int (the usual case), or --use_miccai_int if it was built with use_miccai_int=True."
        )
    return undivided


def _integration_steps(file: LegacyFile, arguments: dict[str, Any]) -> int:
    """Number of squarings of a MICCAI 2018 network: the user's number, else the file's, else 7."""
    sums = sum(layer["class_name"] == "Add" for layer in file.layers)
    stored = [layer["config"].get("int_steps", 7) for layer in file.layers if layer["class_name"] == "VecInt"]
    steps = arguments.get("int_steps", sums or (stored or [7])[0])
    if not isinstance(steps, int) or steps < 1:
        raise LegacyFileError(
            f"{file.path}: a MICCAI 2018 network integrates in 1 step or more; got int_steps {steps!r}."
        )
    return steps


def swapped_axes(array: np.ndarray) -> np.ndarray:
    """Exchange the first two shifts in a kernel or bias of the head, from "xy" to "ij"."""
    order = [1, 0, *range(2, array.shape[-1])]
    return array[..., order]
