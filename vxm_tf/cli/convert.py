"""The command vxm-convert."""

import dataclasses
import json
import warnings
from pathlib import Path

from absl import logging

from vxm_tf.cli import command
from vxm_tf.data import NORMALIZATIONS
from vxm_tf.files.atomic import check_output_dir, replace_atomically
from vxm_tf.models.legacy import load_legacy

DESCRIPTION = "Adopt a network that VoxelMorph saved: vxm-convert OLD.h5 NEW.keras"


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """Settings of the command, see `load_legacy`.

    Attributes:
        architecture: VoxelMorph's constructor arguments, as JSON or the name of a file that holds it.
        indexing: "ij" or "xy", for a file of 2018 that does not tell.
        use_miccai_int: likewise; None where the file tells.
        parity: resize fields as the original did.
        normalization: how the tools prepare images for this network; None for what `load_legacy` says.
    """

    architecture: str = ""
    indexing: str | None = None
    use_miccai_int: bool | None = None
    parity: bool = True
    normalization: str | None = None


def define_flags(values):
    """One flag for each field of `ConvertConfig`."""
    flag = command.Flags(values, ConvertConfig())
    flag.string("architecture", "VoxelMorph's constructor arguments as JSON, or a file of it; for weights alone.")
    flag.choice("indexing", ("ij", "xy"), "Whose shift comes first, where a file of 2018 does not tell.")
    flag.boolean("use_miccai_int", "The velocity was squared without division, where a file of 2018 does not tell.")
    flag.boolean("parity", "Resize fields as the original did; --noparity as new networks here do.")
    flag.choice(
        "normalization",
        NORMALIZATIONS,
        "How the tools prepare images for it; else freesurfer for 2018, none for others.",
    )


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv, positional=("OLD.h5", "NEW.keras"))


def _call(values, old, new):
    new = Path(new)
    if new.suffix != ".keras":
        raise ValueError(f"{new}: the new file's name must end in .keras.")
    check_output_dir(new.parent)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        network = load_legacy(
            old,
            architecture=_architecture(values.architecture),
            indexing=values.indexing,
            use_miccai_int=values.use_miccai_int,
            parity=values.parity,
        )
    for warning in caught:
        logging.warning("%s", warning.message)
    if values.normalization:
        network.metadata["normalization"] = values.normalization
    replace_atomically(new, network.save)
    logging.info(
        "Written: %s, a %s for images %s with %s channels, %d parameters, %d integration steps, normalisation %s.",
        new, type(network).__name__, network.settings["image_shape"], network.settings["channels"],
        network.count_params(), network.settings["integration_steps"], network.metadata["normalization"],
    )  # fmt: skip


def _architecture(text):
    if not text:
        return None
    path = Path(text)
    try:
        arguments = json.loads(text if text.lstrip().startswith("{") else path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"--architecture {text}: neither JSON nor a file that holds it ({error}).") from None
    if not isinstance(arguments, dict):
        raise ValueError(f"--architecture {text}: expected names and values in braces.")
    return arguments
