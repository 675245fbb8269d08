"""Networks as SavedModels for TensorFlow Serving, and a client of what is served.

The client needs no TensorFlow, so names that do are imported when they are asked for.
"""

import importlib

__all__ = ["export_saved_model", "next_version"]


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("vxm_tf.serving.export"), name)


def __dir__():
    return sorted({*globals(), *__all__})
