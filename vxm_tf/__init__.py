"""Learned deformable registration of 2-D and 3-D images: VoxelMorph for TensorFlow and Keras 3.

Importing the package registers its layers and models, so that `keras.models.load_model` knows them. Without Keras and
TensorFlow, the parts that need neither still work: `vxm_tf.serving.client`, files and metrics.
"""

import importlib
import importlib.util
import os
from typing import Any

from vxm_tf._version import __version__

# TensorFlow reads this once, when it is first imported. Without oneDNN, which is off by default in some builds, 3-D
# convolutions on a CPU take up to seven times longer.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# The functions for most users, imported when they are first used.
_FRONT_DOOR = {
    "register": ("vxm_tf.workflows.front_door", "register"),
    "load_model": ("vxm_tf.models.saved", "load_model"),
    "read_image": ("vxm_tf.spatial.image", "read_spatial_image"),
}
_NEED_KERAS = ("layers", "losses", "models", "ops", *_FRONT_DOOR)

if importlib.util.find_spec("keras") or importlib.util.find_spec("tensorflow"):
    from vxm_tf import startup

    with startup.quiet_log():
        startup.import_keras()
        from vxm_tf import layers, losses, models, ops
        from vxm_tf.backend import enable_fusion, find_devices, limit_threads

        if startup.is_command():
            # Now, because TensorFlow logs at this moment that there is no GPU.
            find_devices()

    __all__ = ["__version__", "layers", "load_model", "losses", "models", "ops", "read_image", "register"]

    limit_threads()
    enable_fusion()

    def __getattr__(name: str) -> Any:
        if name in _FRONT_DOOR:
            module, attribute = _FRONT_DOOR[name]
            return getattr(importlib.import_module(module), attribute)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

else:
    __all__ = ["__version__"]

    def __getattr__(name: str) -> Any:
        if name in _NEED_KERAS:
            raise ImportError(
                f"vxm_tf.{name} needs Keras and TensorFlow, and neither is installed here. Install them, such as by "
                "`pip install tensorflow`; vxm_tf.serving.client works without."
            )
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
