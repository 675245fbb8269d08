"""Writing a trained network as a SavedModel for TensorFlow Serving."""

import dataclasses
from pathlib import Path

from absl import logging

from vxm_tf.configuration import check_choices, described, option
from vxm_tf.models import load_model
from vxm_tf.models.saved import model_path
from vxm_tf.serving import Origin, export_saved_model
from vxm_tf.serving.weights import PRECISIONS


@described
@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Settings of `export_file`; `vxm-export` has one flag for each.

    Raises:
        InputError: a precision that does not exist.
    """

    model: str = option("", "The .keras file of the network, or shipped for the network that comes with the package.")
    output_dir: str = option("", "Base folder of the served model; each version is a numbered folder in it.")
    version: int = option(0, "Number of the version; 0 for the next one.")
    weights: str = option(
        "float32", "Precision in which weights are stored; all computing is in float32.", choices=PRECISIONS
    )
    warm_up: bool = option(
        True, "Write requests with which TensorFlow Serving warms up, so that no user waits for the first answer."
    )
    training_data: str = option("", "Description of the training data, in words, for model_card.json.")
    metrics: str = option("", "JSON file with results for model_card.json, such as summary.json of evaluate.py.")

    def __post_init__(self) -> None:
        check_choices(self)


def export_file(config: ExportConfig) -> Path:
    """Write a network as `<output_dir>/<version>/saved_model.pb`, with a model card beside it.

    Returns:
        The version's folder.

    Raises:
        InputError: a model that cannot be used, or a place that cannot be written.
    """
    origin = Origin(str(model_path(config.model)), config.training_data, config.metrics)
    folder = export_saved_model(
        load_model(config.model),
        config.output_dir,
        config.version or None,
        weights=config.weights,
        warm_up=config.warm_up,
        origin=origin,
    )
    logging.info("Written: %s. docs/how-to/serving.md lists its signatures, model_card.json describes it.", folder)
    return Path(folder)
