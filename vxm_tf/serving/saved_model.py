"""A network as a SavedModel that runs without this package."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork
from vxm_tf.ops.fusion import compiled_by
from vxm_tf.serving.model_card import Origin, model_card, write_card
from vxm_tf.serving.signatures import signatures
from vxm_tf.serving.warm_up import write_requests
from vxm_tf.serving.weights import context_for


def export_saved_model(
    network: RegistrationNetwork,
    output_dir: str | os.PathLike,
    version: int | None = None,
    *,
    weights: str = "float32",
    warm_up: bool = True,
    origin: Origin | None = None,
) -> Path:
    """Write `<output_dir>/<version>/saved_model.pb` with every signature of `vxm_tf.serving.signatures`.

    The folder is written under a temporary name and renamed, so that a server never sees half of it. `model_card.json`
    lies beside it, and a copy in the `assets.extra` folder of each version.

    Args:
        network: a network of any shape and precision; the SavedModel computes in float32.
        output_dir: the model's base folder.
        version: a positive number; one more than the highest that exists if None.
        weights: "float32", or "float16" for half the size on disk.
        warm_up: whether requests are written that TensorFlow Serving answers before it calls the model available.
        origin: model file, training data and results, for the card.

    Returns:
        The version's folder.

    Raises:
        InputError: a version that is not positive or exists already, a folder that cannot be written, or weights that
            do not fit in float16.
    """
    output_dir = Path(output_dir)
    version = next_version(output_dir) if version is None else version
    target = output_dir / str(version)
    if version < 1:
        raise InputError(f"TensorFlow Serving's versions are positive numbers; got {version}.")
    if target.exists():
        raise InputError(f"{target}: this version exists already. Give another --version, or none for the next.")
    temporary: str | None = None
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        # Its name is not a number, so a server that watches the folder ignores it.
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
        raise InputError(f"{target}: cannot be written ({error}).") from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def next_version(output_dir: str | os.PathLike) -> int:
    """One more than the highest version in a model's base folder; 1 where there is none."""
    output_dir = Path(output_dir)
    present = [int(f.name) for f in output_dir.iterdir() if f.name.isdigit()] if output_dir.is_dir() else []
    return max(present, default=0) + 1


def function_of_any_shape(function: Callable) -> Callable:
    """A function that the graph holds once, however many steps of a network call it.

    Written out for each step of the descent, the graph of a `VxmPyramid` takes over a hundred megabytes. The function
    is not compiled by XLA, which compiles for one shape: on a CPU server each new shape would stall a request.
    """
    # Not inlined when it runs: the first request takes half the time and less memory, later ones a tenth longer.
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def _for_any_shape(network: RegistrationNetwork) -> RegistrationNetwork:
    config = network.get_config()
    any_shape = [None] * len(config["image_shape"])
    config |= {"image_shape": any_shape, "outputs": ["moved", "displacement"], "dtype": "float32"}
    rebuilt = type(network).from_config(config)
    rebuilt.set_weights(network.get_weights())
    return rebuilt


def _write(network: RegistrationNetwork, directory: str, weights: str) -> tuple[str, ...]:
    """Write the SavedModel and return the names of its signatures."""
    # The network is not tracked: the archive finds the weights that its functions use, and would trace it once more.
    archive = keras.export.ExportArchive()
    context = context_for(network, weights)  # Referenced here, because functions hold their variables weakly.
    with compiled_by(function_of_any_shape):
        functions = signatures(network, context)
        for name, function in functions.items():
            archive.add_endpoint(name, function)
        logging.info("Writing %d signatures.", len(functions))
        archive.write_out(directory, verbose=False)
    return tuple(functions)
