"""Conversion of networks that VoxelMorph saved."""

import dataclasses
import json
import os
import warnings
from pathlib import Path
from typing import Any

from absl import logging

from vxm_tf.configuration import described, option
from vxm_tf.data import NORMALIZATIONS
from vxm_tf.files.atomic import check_output_file, replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork
from vxm_tf.models.legacy import load_legacy


@described
@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """Settings of `convert_file`, see `load_legacy`; `vxm-convert` has one flag for each."""

    architecture: str = option(
        "",
        "Arguments of VoxelMorph's constructor, as JSON or as the path of a file that holds it; for files with weights "
        "alone.",
    )
    indexing: str | None = option(
        None,
        "Order of the components of a displacement, which a file of 2018 may not store.",
        choices=("ij", "xy"),
    )
    use_miccai_int: bool | None = option(
        None, "Whether the velocity is squared without being divided first, which a file of 2018 may not store."
    )
    parity: bool = option(
        True, "Resize displacements as the original program did; otherwise as new networks of this package do."
    )
    normalization: str | None = option(
        None,
        "Method that brings intensities into [0, 1] for the network; by default freesurfer for files of 2018 and none "
        "for others.",
        choices=tuple(NORMALIZATIONS),
    )


def convert_file(
    old: str | os.PathLike, new: str | os.PathLike, config: ConvertConfig | None = None
) -> RegistrationNetwork:
    """Write a network that VoxelMorph saved as a `.keras` file.

    Args:
        old: file of the original program: HDF5, or a PyTorch checkpoint.
        new: output file (.keras).
        config: settings that the old file does not store; the defaults of `ConvertConfig` if None.

    Raises:
        InputError: a file that cannot be read or lacks a setting, or a place that cannot be written.
    """
    config, new = config or ConvertConfig(), Path(new)
    if new.suffix != ".keras":
        raise InputError(f"{new}: the new file's name must end in .keras.")
    check_output_file(new)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        network = load_legacy(
            old,
            architecture=_architecture(config.architecture),
            indexing=config.indexing,
            use_miccai_int=config.use_miccai_int,
            parity=config.parity,
        )
    for warning in caught:
        logging.warning("%s", warning.message)
    if config.normalization:
        network.metadata["normalization"] = config.normalization
    replace_atomically(new, network.save)
    logging.info(
        "Written: %s, a %s for images %s with %s channels, %d parameters, %d integration steps, normalisation %s.",
        new, type(network).__name__, network.settings["image_shape"], network.settings["channels"],
        network.count_params(), network.settings["integration_steps"], network.metadata["normalization"],
    )  # fmt: skip
    return network


def _architecture(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    path = Path(text)
    try:
        arguments = json.loads(text if text.lstrip().startswith("{") else path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"--architecture {text}: neither JSON nor a file that holds it ({error}).") from None
    if not isinstance(arguments, dict):
        raise InputError(f"--architecture {text}: expected names and values in braces.")
    return arguments
