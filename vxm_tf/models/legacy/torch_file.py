"""Checkpoints of VoxelMorph's PyTorch `VxmDense`, which its TensorFlow users may hold too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vxm_tf.models.legacy.legacy_file import LegacyFile, LegacyFileError


def read_torch_file(path: Path) -> LegacyFile:
    """Read a checkpoint with PyTorch's loader for tensors alone, which runs no code from the file.

    Raises:
        LegacyFileError: PyTorch is not installed, or the file is no checkpoint of VoxelMorph.
    """
    try:
        import torch
    except ImportError as error:
        raise LegacyFileError(
            f"{path}: reading a PyTorch checkpoint needs PyTorch. Install it with: pip install 'vxm-tf[torch]'"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise LegacyFileError(
            f"{path}: cannot be read as a checkpoint of tensors ({reason}). It may be truncated, or hold objects that "
            "only running its code could restore, which is not done here: in the original program save "
            "{'config': ..., 'model_state': model.state_dict()} with plain numbers and lists."
        ) from error
    if not isinstance(content, dict):
        raise LegacyFileError(f"{path}: expected a checkpoint with config and model_state; got {type(content)}.")
    state = content.get("model_state", content)
    config = content.get("config", {}) if state is not content else {}
    return from_torch_state(path, config, {k: v.numpy() for k, v in state.items() if hasattr(v, "numpy")})


def from_torch_state(path: Path, config: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> LegacyFile:
    """Convert the state of a PyTorch network to the names and axes that Keras uses.

    Args:
        path: path of the checkpoint, for messages.
        config: VoxelMorph's constructor arguments, {} if unknown.
        state: arrays by name, kernels `[out, in, *kernel]`.

    Raises:
        LegacyFileError: a state without the head of a registration network.
    """
    tensors = [
        (name.rpartition(".")[0], _channels_last(array))
        for name, array in state.items()
        if name.endswith((".weight", ".bias"))
    ]
    if not tensors or not any(name.endswith("flow.weight") for name in state):
        raise LegacyFileError(
            f"{path}: holds no network of VoxelMorph (no flow.weight among its {len(state)} entries)."
        )
    return LegacyFile(path, tensors, "VxmDense" if config else "", dict(config))


def _channels_last(array: np.ndarray) -> np.ndarray:
    """A kernel `[*kernel, in, out]` from `[out, in, *kernel]`, or a bias as it is; float32."""
    array = np.asarray(array, "float32")
    return array if array.ndim == 1 else np.moveaxis(array, (1, 0), (-2, -1))
