"""Files that Keras 2 wrote in HDF5: a whole model, or weights alone."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vxm_tf.models.legacy.legacy_file import LegacyFile, LegacyFileError, NamedTensors


def read_keras_file(path: Path) -> LegacyFile:
    """Read tensors and configuration from an HDF5 file of Keras 2.

    Raises:
        LegacyFileError: a truncated file, or one of another kind.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file)
    except LegacyFileError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise LegacyFileError(
            f"{path}: cannot be read as an HDF5 file of Keras ({reason}). It may be truncated, so compare its size "
            "with the original's and download it again; or it is of another kind: expected .h5, or .pt of PyTorch."
        ) from error


def _read(path: Path, file: h5py.File) -> LegacyFile:
    if isinstance(file.get("layers"), h5py.Group):
        return LegacyFile(path, _numbered_tensors(file["layers"]))
    group = file["model_weights"] if "model_weights" in file else file
    names = _attribute(group, "layer_names")
    if names is None:
        raise LegacyFileError(
            f"{path}: this HDF5 file holds no Keras 2 model (no layer_names; it holds "
            f"{', '.join(list(file)[:5]) or 'nothing'}). Expected a file that VoxelMorph's TensorFlow versions saved."
        )
    tensors: NamedTensors = []
    for layer in names:
        if layer not in group:
            raise KeyError(f"the layer {layer} is listed but not there")
        for weight in _attribute(group[layer], "weight_names") or []:
            tensors.append((layer, np.asarray(group[layer][weight], "float32")))
    stored = file.attrs.get("model_config")
    model = _as_dict({} if stored is None else json.loads(_text(stored)))
    return LegacyFile(path, tensors, str(model.get("class_name", "")), _as_dict(model.get("config")))


def _numbered_tensors(layers: h5py.Group) -> NamedTensors:
    """Tensors of a `.weights.h5` file, in the model's order; its layers are named by their class and a number."""
    holders = [(name, layers[name]["vars"]) for name in sorted(layers, key=_number) if "vars" in layers[name]]
    return [
        (name, np.asarray(weights[key], "float32")) for name, weights in holders for key in sorted(weights, key=int)
    ]


def _as_dict(config: Any) -> dict[str, Any]:
    return config if isinstance(config, dict) else {}


def _attribute(group: h5py.Group, name: str) -> list[str] | None:
    """A list of names that is stored as an attribute; Keras cuts long lists into name0, name1 and so on."""
    if name in group.attrs:
        return [_text(entry) for entry in group.attrs[name]]
    parts = sorted((key for key in group.attrs if key.startswith(name) and key[len(name) :].isdigit()), key=_number)
    return [_text(entry) for part in parts for entry in group.attrs[part]] if parts else None


def _number(key: str) -> int:
    """The number at the end of a name, 0 without one."""
    digits = key[len(key.rstrip("0123456789")) :]
    return int(digits or 0)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
