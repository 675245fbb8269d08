"""Recognising the networks of 2018 in a file, and what else their files tell."""

import dataclasses

import numpy as np

from vxm_tf.models.legacy.legacy_file import LegacyFile, LegacyFileError
from vxm_tf.models.legacy.vxm_2018 import LEVELS, Vxm2018

OLD_TRANSFORMER = "Dense3DSpatialTransformer"


@dataclasses.dataclass(frozen=True)
class Features2018:
    """Filter counts that the kernels of a file spell out.

    Attributes:
        channels: of both images together.
        encoder: four counts.
        decoder: five (half resolution) to seven.
    """

    channels: int
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]

    @property
    def integrates(self) -> bool:
        return len(self.decoder) == LEVELS + 1


def features_of_2018(tensors) -> Features2018 | None:
    """The features, if the kernels chain as those of 2018 do; None otherwise.

    Args:
        tensors: (layer name, array) without the log-variance head.
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


def network_of_2018(file: LegacyFile, features: Features2018, arguments, *, resize_rule) -> Vxm2018:
    """An untrained network for these features.

    Raises:
        LegacyFileError: the channels of the two images cannot be told apart.
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
    settings = {"features": (features.encoder, features.decoder), "integration_steps": steps}
    return Vxm2018(tuple(shape), channels=tuple(channels), resize_rule=resize_rule, **settings)


def indexing_of(file: LegacyFile, stated: str | None) -> str:
    """ "ij" or "xy": whose shift comes first in the field.

    The old transformer took "xy"; its successor may record what it takes, and is "ij" by default.

    Args:
        file: to look into.
        stated: what the user says, or None.

    Raises:
        LegacyFileError: the user contradicts the file, or neither says.
    """
    recorded = None
    for layer in file.layers:
        if layer["class_name"] == OLD_TRANSFORMER:
            recorded = "xy"
        elif layer["class_name"] == "SpatialTransformer":
            recorded = layer["config"].get("indexing")
    if recorded and stated and recorded != stated:
        raise LegacyFileError(
            f"{file.path}: its layers say that its shifts are {recorded}, not {stated}. Leave --indexing out."
        )
    indexing = recorded or stated or ("ij" if file.layers else None)
    if indexing is None:
        raise LegacyFileError(
            f"{file.path}: holds weights alone, which do not tell whose shift comes first. Give --indexing ij, or "
            f"--indexing xy for files of early 2018 (those of Keras 2.1, whose layers were {OLD_TRANSFORMER})."
        )
    return indexing


def squares_undivided(file: LegacyFile, features: Features2018, stated: bool | None) -> bool:
    """Whether the velocity is squared without division before, which a file's layers show as written-out sums.

    Args:
        file: to look into.
        features: of its network.
        stated: what the user says, or None.

    Raises:
        LegacyFileError: the user contradicts the file, or neither says.
    """
    if not features.integrates:
        if stated:
            raise LegacyFileError(f"{file.path}: a CVPR 2018 network integrates nothing. Leave --use_miccai_int out.")
        return False
    classes = [layer["class_name"] for layer in file.layers]
    shown = "VecInt" not in classes and "Add" in classes if classes else None
    if shown is not None and stated is not None and shown != stated:
        raise LegacyFileError(
            f"{file.path}: its layers say that its velocity is squared {'without' if shown else 'after'} division. "
            "Leave --use_miccai_int out."
        )
    if shown is None and stated is None:
        raise LegacyFileError(
            f"{file.path}: holds weights alone, which do not tell how their velocity is integrated. Give "
            "--nouse_miccai_int (the usual case), or --use_miccai_int if it was built with use_miccai_int=True."
        )
    return stated if shown is None else shown


def _integration_steps(file, arguments):
    sums = sum(layer["class_name"] == "Add" for layer in file.layers)
    stored = [layer["config"].get("int_steps", 7) for layer in file.layers if layer["class_name"] == "VecInt"]
    steps = arguments.get("int_steps", sums or (stored or [7])[0])
    if not isinstance(steps, int) or steps < 1:
        raise LegacyFileError(
            f"{file.path}: a MICCAI 2018 network integrates in 1 step or more; got int_steps {steps!r}."
        )
    return steps


def swapped_axes(array) -> np.ndarray:
    """The tensor of a head with the first two shifts exchanged, from "xy" to "ij"."""
    order = [1, 0, *range(2, array.shape[-1])]
    return array[..., order]
