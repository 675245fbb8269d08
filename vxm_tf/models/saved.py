"""Opening a saved network."""

from pathlib import Path

import keras
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.models.registration_network import RegistrationNetwork

SHIPPED = "shipped"
"""Stands for the network that comes with the package, wherever a model file is named."""


def input_settings(network) -> dict:
    """How images are prepared for a network: its recorded `normalization` and `multichannel`."""
    return {"normalization": "percentile", "multichannel": False, **network.metadata}


def model_path(model) -> Path:
    """The file of a model: the one that comes with the package for "shipped", else the one named."""
    return Path(__file__).parent / "weights" / "heads.keras" if str(model) == SHIPPED else Path(model)


def load_model(model) -> RegistrationNetwork:
    """The registration network in a `.keras` file, or the one that comes with the package for "shipped".

    Raises:
        InputError: missing file, a file that is no Keras model, or a model that does not register.
    """
    path = model_path(model)
    if str(model) == SHIPPED:
        logging.info(
            "Using the network that comes with vxm_tf, for heads and brains of any contrast: it has learned from "
            "synthetic images alone. --model FILE takes another one."
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such model file.")
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "no reason given"
        raise InputError(
            f"{path}: cannot be loaded as a model ({type(error).__name__}: {reason}). Expected a .keras file written "
            "by train.py; it may be truncated, or a file of another kind."
        ) from error
    if not isinstance(model, RegistrationNetwork):
        raise InputError(
            f"{path}: holds a Keras model of type {type(model).__name__}, not a registration network of vxm_tf."
        )
    return model
