"""One call for every file that VoxelMorph's users hold."""

import warnings

from vxm_tf.models.legacy.behaviour import check_behaviour
from vxm_tf.models.legacy.dense import CLASSES, check_arguments, dense_network
from vxm_tf.models.legacy.legacy_file import LegacyFile, LegacyFileError, read_legacy_file
from vxm_tf.models.legacy.networks_of_2018 import (
    features_of_2018,
    indexing_of,
    network_of_2018,
    squares_undivided,
    swapped_axes,
)
from vxm_tf.models.registration_network import RegistrationNetwork


def load_legacy(path, *, architecture=None, indexing=None, use_miccai_int=None, parity=True) -> RegistrationNetwork:
    """The network of a file that VoxelMorph saved, with its weights, as a model of this package.

    Takes the networks of 2018 (`Vxm2018`) and `VxmDense` of versions 0.1, 0.2 and dev (`VxmDense`), whole
    models and weights alone, and PyTorch checkpoints of `VxmDense`. Of a probabilistic network the mean
    velocity is taken, of a SynthMorph model the registration without the synthesis of its images. Tensors
    are matched by their order, with every shape checked. At the end the network aligns a synthetic pair,
    and a warning tells if it acts as though axes or scale were read wrongly.

    Args:
        path: `.h5` or, with PyTorch installed, `.pt`.
        architecture: VoxelMorph's own constructor arguments, a dict such as `{"inshape": [160, 192, 224]}`,
            for a file that holds weights alone; for others it overrides what the file stores.
        indexing: "ij" or "xy": whose shifts come first, for a file of 2018 with weights alone.
        use_miccai_int: whether the velocity was squared without division, likewise, MICCAI networks only.
        parity: True to resize fields as the original did; False to resize them as new networks here do,
            which moves them by up to half a coarse voxel.

    Returns:
        The network, its `metadata` saying where it comes from and how its images are prepared: for a network
        of 2018 with the brightness of FreeSurfer's norm.mgz, which is worth some points of Dice, for others
        `normalization` "none", images in [0, 1] as they are.

    Raises:
        LegacyFileError: a file that cannot be read or recognised, or arguments that it contradicts.
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
        # The frame of the papers: brains at 1 mm, axes as FreeSurfer conforms them.
        shape = network.settings["image_shape"]
        network.metadata["grid"] = {"shape": list(shape), "spacing_mm": [1.0] * len(shape), "orientation": "LIA"}
    for text in check_behaviour(network):
        warnings.warn(f"{file.path}: {text}", stacklevel=2)
    return network


def _registration_tensors(file: LegacyFile, arguments):
    """(layer name, array) of the registration network: no synthesis before it, no log-variance beside it."""
    before = (file.config.get("input_model") or {}).get("config", {}).get("layers", [])
    left_out = {layer.get("config", {}).get("name") or layer.get("name") for layer in before}
    tensors = [(name, array) for name, array in file.tensors if name not in left_out and "log_sigma" not in name]
    if arguments.get("use_probs") and len(tensors) == len(file.tensors):
        # A file that names its layers by number: the log-variance head comes last.
        tensors = tensors[:-2]
    if not any(array.ndim > 2 for _, array in tensors):
        raise LegacyFileError(f"{file.path}: holds no convolution, so no registration network of VoxelMorph.")
    return tensors


def _arguments(file, given):
    """VoxelMorph's constructor arguments: those of the file, overridden by those given."""
    stored = file.config if file.class_name in CLASSES else {}
    if not stored and not given:
        kind = "weights alone, and their shapes fit none of the networks of 2018"
        if file.class_name:
            kind = f"a {file.class_name}, which is none of VoxelMorph's registration networks"
        raise LegacyFileError(
            f"{file.path}: holds {kind}. If it belongs to a VxmDense, give --architecture with the arguments it was "
            'built with, such as \'{"inshape": [160, 192, 224], "int_steps": 7, "int_downsize": 2}\'.'
        )
    return {**stored, **given}


def _in_our_terms(file, features, tensors, network, indexing, use_miccai_int):
    """The tensors of a network of 2018 with `ij` shifts and a velocity that is divided before it is squared."""
    if indexing_of(file, indexing) == "xy":
        tensors = _change_head(tensors, swapped_axes)
    if squares_undivided(file, features, use_miccai_int):
        scale = 2.0 ** network.settings["integration_steps"]
        tensors = _change_head(tensors, lambda array: array * scale)
    return tensors


def _change_head(tensors, change):
    """The last kernel and bias changed."""
    return [*tensors[:-2], *((name, change(array)) for name, array in tensors[-2:])]


def _refuse_flags_of_2018(file, indexing, use_miccai_int):
    if indexing == "xy" or use_miccai_int:
        flag = "--indexing xy" if indexing == "xy" else "--use_miccai_int"
        raise LegacyFileError(f"{file.path}: {flag} concerns networks of 2018 only, and this is none. Leave it out.")


def _assign(network, arrays, file):
    """Give the network the arrays in their order."""
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


def _is_finite(array):
    return bool((abs(array) < float("inf")).all())
