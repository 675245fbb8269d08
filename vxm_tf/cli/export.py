"""The command vxm-export."""

import dataclasses

from absl import logging

from vxm_tf.cli import command
from vxm_tf.models import load_model
from vxm_tf.models.saved import model_path
from vxm_tf.serving import Origin, export_saved_model
from vxm_tf.serving.weights import PRECISIONS

DESCRIPTION = "Write a trained network as a SavedModel for TensorFlow Serving: <output_dir>/<version>/saved_model.pb."


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Settings of the command.

    Attributes:
        model: `.keras` file of the network.
        output_dir: the served model's base folder.
        version: number of the version; 0 for the next one.
        weights: precision in which they are stored.
        warm_up: write requests with which a server warms up.
        training_data: what the network learned from, in words, for the model card.
        metrics: JSON file with results for the model card, such as `summary.json` of evaluate.py.
    """

    model: str = ""
    output_dir: str = ""
    version: int = 0
    weights: str = "float32"
    warm_up: bool = True
    training_data: str = ""
    metrics: str = ""


def define_flags(values):
    """One flag for each field of `ExportConfig`."""
    flag = command.Flags(values, ExportConfig())
    flag.string("model", "The .keras file of the network, or shipped for the one that comes with the package.")
    flag.string("output_dir", "The served model's base folder.")
    flag.integer("version", "Number of the version; 0 for the next one.")
    flag.choice("weights", PRECISIONS, "How they are stored; computed is in float32 always.")
    flag.boolean("warm_up", "Write requests with which TensorFlow Serving warms up.")
    flag.string("training_data", "What the network learned from, in words, for model_card.json.")
    flag.string("metrics", "JSON file with results for model_card.json, such as summary.json of evaluate.py.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "model", "output_dir")
    origin = Origin(str(model_path(values.model)), values.training_data, values.metrics)
    folder = export_saved_model(
        load_model(values.model),
        values.output_dir,
        values.version or None,
        weights=values.weights,
        warm_up=values.warm_up,
        origin=origin,
    )
    logging.info("Written: %s. Its signatures are in docs/serving.md, what it is in model_card.json.", folder)
