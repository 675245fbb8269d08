"""Opening a saved network."""

import os
from pathlib import Path
from typing import Any

import keras
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.models.registration_network import RegistrationNetwork

SHIPPED = "shipped"
"""Name of the network that comes with the package, accepted wherever a model file is."""


def input_settings(network: RegistrationNetwork) -> dict[str, Any]:
    """The network's metadata, with defaults for `normalization` and `multichannel`, which say how to prepare images."""
    return {"normalization": "percentile", "multichannel": False, **network.metadata}


def model_path(model: str | os.PathLike) -> Path:
    """The path of a model file; "shipped" stands for the network that comes with the package."""
    return Path(__file__).parent / "weights" / "heads.keras" if str(model) == SHIPPED else Path(model)


def load_model(model: str | os.PathLike) -> RegistrationNetwork:
    """Load a registration network.

    Args:
        model: path of a `.keras` file, or "shipped" for the network that comes with the package.

    Raises:
        InputError: missing file, a file that is no Keras model, or a model that is not a registration network.
    """
    path = model_path(model)
    if str(model) == SHIPPED:
        logging.info(
            "Using the network that comes with vxm_tf, for heads and brains of any MR contrast: it compares edges, and "
            "was trained on synthetic images alone. --model FILE takes another one."
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such model file.")
    try:
        network = keras.models.load_model(path, compile=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "no reason given"
        raise InputError(
            f"{path}: cannot be loaded as a model ({type(error).__name__}: {reason}). Expected a .keras file written "
            "by train.py; it may be truncated, or a file of another kind."
        ) from error
    if not isinstance(network, RegistrationNetwork):
        raise InputError(
            f"{path}: holds a Keras model of type {type(network).__name__}, not a registration network of vxm_tf."
        )
    return network
