"""Networks as SavedModels for TensorFlow Serving, and a client of such servers.

The client needs no TensorFlow, so the names that do are imported on first use.
"""

import importlib
from typing import Any

_MODULES = {"Origin": "model_card", "export_saved_model": "saved_model", "next_version": "saved_model"}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"vxm_tf.serving.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
