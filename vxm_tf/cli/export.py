"""The command vxm-export."""

import dataclasses

from absl import logging

from vxm_tf.cli import command
from vxm_tf.registration import load_model
from vxm_tf.serving import export_saved_model

DESCRIPTION = "Write a trained network as a SavedModel for TensorFlow Serving: <output_dir>/<version>/saved_model.pb."


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Settings of the command.

    Attributes:
        model: `.keras` file of the network.
        output_dir: the served model's base folder.
        version: number of the version; 0 for the next one.
    """

    model: str = ""
    output_dir: str = ""
    version: int = 0


def define_flags(values):
    """One flag for each field of `ExportConfig`."""
    flag = command.Flags(values, ExportConfig())
    flag.string("model", "The .keras file of the network.")
    flag.string("output_dir", "The served model's base folder.")
    flag.integer("version", "Number of the version; 0 for the next one.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "model", "output_dir")
    folder = export_saved_model(load_model(values.model), values.output_dir, values.version or None)
    logging.info("Written: %s. Signature serving_default: moving, fixed -> moved, displacement.", folder)
