"""A network as a SavedModel that runs without this package."""

import os
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf
from absl import logging

from vxm_tf.models import RegistrationNetwork
from vxm_tf.ops.fusion import compiled_by
from vxm_tf.serving.model_card import Origin, model_card, write_card
from vxm_tf.serving.signatures import signatures
from vxm_tf.serving.warm_up import write_requests
from vxm_tf.serving.weights import context_for


def export_saved_model(
    network: RegistrationNetwork,
    output_dir,
    version: int | None = None,
    *,
    weights: str = "float32",
    warm_up: bool = True,
    origin: Origin | None = None,
) -> Path:
    """Write `<output_dir>/<version>/saved_model.pb` with every signature of `vxm_tf.serving.signatures`.

    The folder is written under another name and renamed, so that a server never sees half of it. Beside it lies
    `model_card.json`, a copy of which each version keeps in `assets.extra`.

    Args:
        network: of any shape and precision; what is written computes in float32.
        output_dir: the model's base folder.
        version: a positive number; one more than the highest there if None.
        weights: "float32", or "float16" for half the size on disk.
        warm_up: write requests that TensorFlow Serving answers before it says that the model is available.
        origin: what the card tells of training.

    Returns:
        The version's folder.

    Raises:
        ValueError: a version that is not positive or exists already, a folder that cannot be written, or weights that
            do not fit in float16.
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
        rebuilt = _for_any_shape(network)
        names = _write(rebuilt, temporary, weights)
        card = model_card(rebuilt, temporary, version, weights, names, origin or Origin())
        if warm_up:
            write_requests(rebuilt, temporary, names)
        write_card(card, Path(temporary) / "assets.extra")
        os.chmod(temporary, 0o755)
        os.rename(temporary, target)
        write_card(card, output_dir)
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


def function_of_any_shape(function):
    """One function in the graph for every step of a network that calls it: a descent does few things, often.

    Written out for each step, the graph of a `VxmPyramid` takes over a hundred megabytes. Not a compiled kernel, which
    belongs to one shape: on a CPU server each new shape would stall a request.
    """
    # Left in one piece when it runs: half the seconds of a first request and less memory, for a tenth more of the next.
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def _for_any_shape(network):
    config = network.get_config()
    any_shape = [None] * len(config["image_shape"])
    config |= {"image_shape": any_shape, "outputs": ["moved", "displacement"], "dtype": "float32"}
    rebuilt = type(network).from_config(config)
    rebuilt.set_weights(network.get_weights())
    return rebuilt


def _write(network, directory, weights):
    """Write the SavedModel; returns the names of its signatures."""
    # Nothing is tracked: an archive finds the weights that its functions use, and would trace a network of its own.
    archive = keras.export.ExportArchive()
    context = context_for(network, weights)  # Held here, as functions hold their variables weakly.
    with compiled_by(function_of_any_shape):
        functions = signatures(network, context)
        for name, function in functions.items():
            archive.add_endpoint(name, function)
        logging.info("Writing %d signatures.", len(functions))
        archive.write_out(directory, verbose=False)
    return tuple(functions)
