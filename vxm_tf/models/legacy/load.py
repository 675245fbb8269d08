"""Loading the weight files of all earlier versions of VoxelMorph."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vxm_tf.models.legacy.behaviour import check_behaviour
from vxm_tf.models.legacy.dense import CLASSES, check_arguments, dense_network
from vxm_tf.models.legacy.keras_file import read_keras_file
from vxm_tf.models.legacy.legacy_file import LegacyFile, LegacyFileError, NamedTensors
from vxm_tf.models.legacy.networks_of_2018 import (
    Features2018,
    features_of_2018,
    indexing_of,
    network_of_2018,
    squares_undivided,
    swapped_axes,
)
from vxm_tf.models.legacy.torch_file import read_torch_file
from vxm_tf.models.registration_network import RegistrationNetwork


def load_legacy(
    path: str | os.PathLike,
    *,
    architecture: dict[str, Any] | None = None,
    indexing: str | None = None,
    use_miccai_int: bool | None = None,
    parity: bool = True,
) -> RegistrationNetwork:
    """Load the network of a file that VoxelMorph saved, with its weights, as a model of this package.

    Takes the networks of 2018 (`Vxm2018`) and `VxmDense` of versions 0.1, 0.2 and dev (`VxmDense`), whole
    models and weights alone, and PyTorch checkpoints of `VxmDense`. A probabilistic network is reduced to its
    mean velocity, a SynthMorph model to its registration network, without the synthesis of images. Tensors
    are matched by their order, with every shape checked. At the end the network aligns a synthetic pair,
    and a warning is issued if its answer suggests that axes or scale were read wrongly.

    Args:
        path: path of the file: `.h5` or, with PyTorch installed, `.pt`.
        architecture: VoxelMorph's own constructor arguments, a dict such as `{"inshape": [160, 192, 224]}`,
            for a file that holds weights alone; for other files they override the stored arguments.
        indexing: order of the shifts, "ij" or "xy", for a file of 2018 with weights alone.
        use_miccai_int: whether the velocity was squared without division, for a file of MICCAI 2018 with weights
            alone.
        parity: True to resize fields as the original did; False to resize them as new networks here do,
            which moves them by up to half a coarse voxel.

    Returns:
        The network. Its `metadata` records the file's name and how images are prepared: a network of 2018 expects the
        brightness of FreeSurfer's norm.mgz, which raises Dice by some points; others take images in [0, 1] as they are
        (`normalization` "none").

    Raises:
        LegacyFileError: a file that cannot be read or recognised, or arguments that contradict the file.
    """
    arguments = dict(architecture or {})
    if indexing not in (None, "ij", "xy"):
        raise LegacyFileError(f"indexing is ij or xy; got {indexing!r}.")
    file = read_legacy_file(path)
    check_arguments(arguments, file.path)
    tensors = _registration_tensors(file, arguments)
    features = features_of_2018(tensors)
    if features:
        network = network_of_2018(file, features, arguments, resize_rule="origin" if parity else "areas")
        tensors = _in_our_terms(file, features, tensors, network, indexing, use_miccai_int)
    else:
        _refuse_flags_of_2018(file, indexing, use_miccai_int)
        network = dense_network(_arguments(file, arguments), file.path, resize_rule="corners" if parity else "areas")
        if file.config.get("indexing") == "xy":
            tensors = _change_head(tensors, swapped_axes)
    _assign(network, [array for _, array in tensors], file)
    network.metadata = {
        "normalization": "freesurfer" if features else "none",
        "multichannel": network.settings["channels"] != (1, 1),
        "converted_from": file.path.name,
    }
    if features:
        # The papers' brains have voxels of 1 mm and the axes of FreeSurfer's conformed volumes.
        shape = network.settings["image_shape"]
        network.metadata["grid"] = {"shape": list(shape), "spacing_mm": [1.0] * len(shape), "orientation": "LIA"}
    for text in check_behaviour(network):
        warnings.warn(f"{file.path}: {text}", stacklevel=2)
    return network


def read_legacy_file(path: str | os.PathLike) -> LegacyFile:
    """Read a Keras 2 HDF5 file (whole model or weights), or a PyTorch checkpoint.

    Raises:
        LegacyFileError: missing, truncated, or a file of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise LegacyFileError(f"{path}: there is no such file.")
    if path.suffix in (".pt", ".pth", ".ckpt", ".tar"):
        return read_torch_file(path)
    if path.suffix == ".keras":
        raise LegacyFileError(f"{path}: a .keras file needs no conversion; open it with keras.models.load_model.")
    return read_keras_file(path)


def _registration_tensors(file: LegacyFile, arguments: dict[str, Any]) -> NamedTensors:
    """Tensors of the registration network, without those of image synthesis and of the log variance."""
    before = (file.config.get("input_model") or {}).get("config", {}).get("layers", [])
    left_out = {layer.get("config", {}).get("name") or layer.get("name") for layer in before}
    tensors = [(name, array) for name, array in file.tensors if name not in left_out and "log_sigma" not in name]
    if arguments.get("use_probs") and len(tensors) == len(file.tensors):
        # In a file that names its layers by number, the log-variance head comes last.
        tensors = tensors[:-2]
    if not any(array.ndim > 2 for _, array in tensors):
        raise LegacyFileError(f"{file.path}: holds no convolution, so no registration network of VoxelMorph.")
    return tensors


def _arguments(file: LegacyFile, architecture: dict[str, Any]) -> dict[str, Any]:
    """VoxelMorph's constructor arguments from the file, replaced by the user's where these are given."""
    stored = file.config if file.class_name in CLASSES else {}
    if not stored and not architecture:
        kind = "weights alone, and their shapes fit none of the networks of 2018"
        if file.class_name:
            kind = f"a {file.class_name}, which is none of VoxelMorph's registration networks"
        raise LegacyFileError(
            f"{file.path}: holds {kind}. If it belongs to a VxmDense, give --architecture with the arguments it was "
            'built with, such as \'{"inshape": [160, 192, 224], "int_steps": 7, "int_downsize": 2}\'.'
        )
    return {**stored, **architecture}


def _in_our_terms(
    file: LegacyFile,
    features: Features2018,
    tensors: NamedTensors,
    network: RegistrationNetwork,
    indexing: str | None,
    use_miccai_int: bool | None,
) -> NamedTensors:
    """Convert the tensors of a network of 2018 to `ij` shifts and a velocity that is divided before it is squared."""
    if indexing_of(file, indexing) == "xy":
        tensors = _change_head(tensors, swapped_axes)
    if squares_undivided(file, features, use_miccai_int):
        scale = 2.0 ** network.settings["integration_steps"]
        tensors = _change_head(tensors, lambda array: array * scale)
    return tensors


def _change_head(tensors: NamedTensors, change: Callable[[np.ndarray], np.ndarray]) -> NamedTensors:
    """Apply a change to the last kernel and bias."""
    return [*tensors[:-2], *((name, change(array)) for name, array in tensors[-2:])]


def _refuse_flags_of_2018(file: LegacyFile, indexing: str | None, use_miccai_int: bool | None) -> None:
    if indexing == "xy" or use_miccai_int:
        flag = "--indexing xy" if indexing == "xy" else "--use_miccai_int"
        raise LegacyFileError(f"{file.path}: {flag} concerns networks of 2018 only, and this is none. Leave it out.")


def _assign(network: RegistrationNetwork, arrays: Sequence[np.ndarray], file: LegacyFile) -> None:
    """Set the network's weights to the arrays, in their order."""
    hint = "If the file is right, its architecture is another than the one stated: check --architecture."
    expected = [tuple(weight.shape) for weight in network.weights]
    for number, (shape, array) in enumerate(zip(expected, arrays), 1):
        if shape != array.shape:
            raise LegacyFileError(
                f"{file.path}: tensor {number} has shape {array.shape}, but the network needs {shape} there. {hint}"
            )
    if len(expected) != len(arrays):
        raise LegacyFileError(
            f"{file.path}: holds {len(arrays)} tensors of a registration network, but {len(expected)} are needed. "
            f"{hint}"
        )
    if not all(map(_is_finite, arrays)):
        raise LegacyFileError(f"{file.path}: holds values that are not finite; the training that wrote it had failed.")
    network.set_weights(arrays)


def _is_finite(array: np.ndarray) -> bool:
    return bool((abs(array) < float("inf")).all())
