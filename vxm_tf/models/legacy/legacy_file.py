"""What a weight file of another program holds, as plain data: nothing in it is unpickled or run."""

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np


class LegacyFileError(ValueError):
    """A file that cannot be adopted; the text says why and what to do."""


@dataclasses.dataclass(frozen=True)
class LegacyFile:
    """Tensors and configuration of a file.

    Attributes:
        path: of the file.
        tensors: (layer name, array) in the order of the layers; kernels `[*kernel, in, out]`, then biases.
        class_name: of the model, "" where the file does not say.
        config: the model's stored configuration, {} where there is none.
    """

    path: Path
    tensors: list[tuple[str, np.ndarray]]
    class_name: str = ""
    config: dict = dataclasses.field(default_factory=dict)

    @property
    def layers(self) -> list[dict]:
        """The layers of a functional model's configuration."""
        return self.config.get("layers", []) if isinstance(self.config.get("layers"), list) else []


def read_legacy_file(path) -> LegacyFile:
    """Read a Keras 2 HDF5 file (whole model or weights), or a PyTorch checkpoint.

    Raises:
        LegacyFileError: missing, truncated, or a file of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise LegacyFileError(f"{path}: there is no such file.")
    if path.suffix in (".pt", ".pth", ".ckpt", ".tar"):
        from vxm_tf.models.legacy.torch_file import read_torch_file

        return read_torch_file(path)
    if path.suffix == ".keras":
        raise LegacyFileError(f"{path}: a .keras file needs no conversion; open it with keras.models.load_model.")
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


def _read(path, file):
    if isinstance(file.get("layers"), h5py.Group):
        return LegacyFile(path, _numbered_tensors(file["layers"]))
    group = file["model_weights"] if "model_weights" in file else file
    names = _attribute(group, "layer_names")
    if names is None:
        raise LegacyFileError(
            f"{path}: this HDF5 file holds no Keras 2 model (no layer_names; it holds "
            f"{', '.join(list(file)[:5]) or 'nothing'}). Expected a file that VoxelMorph's TensorFlow versions saved."
        )
    tensors = []
    for layer in names:
        if layer not in group:
            raise KeyError(f"the layer {layer} is listed but not there")
        for weight in _attribute(group[layer], "weight_names") or []:
            tensors.append((layer, np.asarray(group[layer][weight], "float32")))
    stored = file.attrs.get("model_config")
    model = _as_dict({} if stored is None else json.loads(_text(stored)))
    return LegacyFile(path, tensors, str(model.get("class_name", "")), _as_dict(model.get("config")))


def _numbered_tensors(layers):
    """Tensors of a `.weights.h5` file, whose layers bear their class' name and a number, in the model's order."""
    holders = [(name, layers[name]["vars"]) for name in sorted(layers, key=_number) if "vars" in layers[name]]
    return [(name, np.asarray(held[key], "float32")) for name, held in holders for key in sorted(held, key=int)]


def _as_dict(config):
    return config if isinstance(config, dict) else {}


def _attribute(group, name):
    """A list of names; Keras cuts long ones into name0, name1 and so on."""
    if name in group.attrs:
        return [_text(entry) for entry in group.attrs[name]]
    parts = sorted((key for key in group.attrs if key.startswith(name) and key[len(name) :].isdigit()), key=_number)
    return [_text(entry) for part in parts for entry in group.attrs[part]] if parts else None


def _number(key):
    """The number that a name ends in, 0 without one."""
    digits = key[len(key.rstrip("0123456789")) :]
    return int(digits or 0)


def _text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
