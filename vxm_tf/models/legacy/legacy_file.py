"""The content of a weight file of another program, as plain data: nothing in it is unpickled or run."""

import dataclasses
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

NamedTensors: TypeAlias = list[tuple[str, np.ndarray]]
"""Pairs (layer name, array)."""


class LegacyFileError(ValueError):
    """A weight file that cannot be loaded; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class LegacyFile:
    """Tensors and configuration of a file.

    Attributes:
        path: path of the file.
        tensors: pairs (layer name, array) in the order of the layers; kernels `[*kernel, in, out]`, then biases.
        class_name: class of the model, "" if the file stores none.
        config: the model's stored configuration, {} if there is none.
    """

    path: Path
    tensors: NamedTensors
    class_name: str = ""
    config: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Configurations of a functional model's layers, [] if there are none."""
        return self.config.get("layers", []) if isinstance(self.config.get("layers"), list) else []
