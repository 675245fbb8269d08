"""A network as a SavedModel that runs without this package."""

import os
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from vxm_tf.models import RegistrationNetwork
from vxm_tf.ops.fusion import unfused
from vxm_tf.serving.signatures import signatures


def export_saved_model(network: RegistrationNetwork, output_dir, version: int | None = None) -> Path:
    """Write `<output_dir>/<version>/saved_model.pb` with the signature `serving_default`.

    The signature takes `moving` and `fixed`, float32 `[batch, *spatial, channels]` with any batch and
    spatial sizes, normalised as in training, and returns `moved` and `displacement` (voxels of the fixed
    image). The folder is written under another name and renamed, so that a server never sees half of it.

    Args:
        network: of any shape and precision; what is written computes in float32.
        output_dir: the model's base folder.
        version: a positive number; one more than the highest there if None.

    Returns:
        The version's folder.

    Raises:
        ValueError: a version that is not positive or exists already, or a folder that cannot be written.
    """
    output_dir = Path(output_dir)
    version = next_version(output_dir) if version is None else version
    target = output_dir / str(version)
    if version < 1:
        raise ValueError(f"TensorFlow Serving's versions are positive numbers; got {version}.")
    if target.exists():
        raise ValueError(f"{target}: this version exists already. Give another --version, or none for the next.")
    temporary = None
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        # Its name is no number, so a server that watches the folder passes it over.
        temporary = tempfile.mkdtemp(prefix=".writing-", dir=output_dir)
        _write(_for_any_shape(network), temporary)
        os.chmod(temporary, 0o755)
        os.rename(temporary, target)
    except (OSError, tf.errors.OpError) as error:
        raise ValueError(f"{target}: cannot be written ({error}).") from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def next_version(output_dir) -> int:
    """One more than the highest version in a model's base folder; 1 where there is none."""
    output_dir = Path(output_dir)
    present = [int(f.name) for f in output_dir.iterdir() if f.name.isdigit()] if output_dir.is_dir() else []
    return max(present, default=0) + 1


def _for_any_shape(network):
    config = network.get_config()
    any_shape = [None] * len(config["image_shape"])
    config |= {"image_shape": any_shape, "outputs": ["moved", "displacement"], "dtype": "float32"}
    rebuilt = type(network).from_config(config)
    rebuilt.set_weights(network.get_weights())
    return rebuilt


def _write(network, directory):
    archive = keras.export.ExportArchive()
    archive.track(network)
    # Compiled kernels belong to one shape, and on a CPU server each new shape would stall a request.
    with unfused():
        for name, function in signatures(network).items():
            archive.add_endpoint(name, function)
        archive.write_out(directory, verbose=False)
