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
    inputs = [layer["config"]["batch_input_shape"] for layer in file.layers if layer["class_name"] == "InputLayer"]
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


def indexing_of(file: LegacyFile) -> str | None:
    """ "ij" or "xy", as the layers that wrote the file take their shifts; None if it holds no layers."""
    for layer in file.layers:
        if layer["class_name"] == OLD_TRANSFORMER:
            return "xy"
        if layer["class_name"] == "SpatialTransformer":
            return layer["config"].get("indexing", "ij")
    return None


def squares_without_division(file: LegacyFile) -> bool | None:
    """Whether the velocity is squared as it is, written out as sums; None if the file holds no layers."""
    classes = [layer["class_name"] for layer in file.layers]
    if not classes:
        return None
    return "VecInt" not in classes and "Add" in classes


def _integration_steps(file, arguments):
    sums = sum(layer["class_name"] == "Add" for layer in file.layers)
    stored = [layer["config"].get("int_steps", 7) for layer in file.layers if layer["class_name"] == "VecInt"]
    return int(arguments.get("int_steps") or sums or (stored or [7])[0])


def swapped_axes(array) -> np.ndarray:
    """The tensor of a head with the first two shifts exchanged, from "xy" to "ij"."""
    order = [1, 0, *range(2, array.shape[-1])]
    return array[..., order]
