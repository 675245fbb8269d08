"""Demonstration of the whole job on phantoms: train, evaluate, export, register, draw."""

import dataclasses
import time
from pathlib import Path

from absl import logging

from vxm_tf.configuration import described, option
from vxm_tf.data import find_scans
from vxm_tf.data.synthetic.phantoms import write_population
from vxm_tf.evaluation import EvaluateConfig, evaluate
from vxm_tf.evaluation.scores import PairScores
from vxm_tf.files import read_image, read_labels, write_volume
from vxm_tf.models import load_model
from vxm_tf.report import registration_panel, write_picture
from vxm_tf.serving import export_saved_model
from vxm_tf.training import TrainConfig, train
from vxm_tf.workflows.file_registration import register_files
from vxm_tf.workflows.register_config import RegisterConfig

SHAPE = (64, 64, 64)
# Directions of a phantom's axes.
ORIENTATION = "PRS"


@described
@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Settings of `demonstrate`; `vxm-demo` has one flag for each."""

    output_dir: str = option("demo", "Folder for phantoms, network, evaluation, SavedModel and picture.")
    epochs: int = option(4, "Number of epochs of training.")
    steps_per_epoch: int = option(100, "Number of training steps in an epoch.")


def demonstrate(config: DemoConfig) -> tuple[float, float]:
    """Run the whole job on phantoms; return the mean (Dice before, Dice after) over the held-out pairs."""
    start = time.perf_counter()
    output_dir = Path(config.output_dir)
    logging.info("1 of 5: a population of head phantoms.")
    data_dir = write_population(output_dir / "phantoms", shape=SHAPE, num_train=12, num_val=3, seed=0)
    logging.info("2 of 5: training.")
    train_config = TrainConfig(
        data_dir=str(data_dir),
        output_dir=str(output_dir / "model"),
        preset="fast",
        epochs=config.epochs,
        steps_per_epoch=config.steps_per_epoch,
        max_val_pairs=3,
    )
    model = train(train_config)
    logging.info("3 of 5: evaluating on phantoms that training has not seen.")
    rows = evaluate(EvaluateConfig(model=str(model), data_dir=str(data_dir), output_dir=str(output_dir / "evaluation")))
    logging.info("4 of 5: exporting.")
    folder = export_saved_model(load_model(model), output_dir / "served")
    logging.info("5 of 5: registering two files.")
    picture = _register(output_dir, data_dir, model)
    before, after = (_mean_dice(rows, method) for method in ("affine", "network"))
    logging.info(
        "Done in %.0f s. Dice %.3f -> %.3f. Network: %s. SavedModel: %s. Picture: %s",
        time.perf_counter() - start, before, after, model, folder, picture,
    )  # fmt: skip
    return before, after


def _register(output_dir: Path, data_dir: Path, model: Path) -> Path:
    """Register two phantoms from files; return the path of a picture of the result."""
    first, second = find_scans(data_dir / "val")[:2]
    files = {name: str(output_dir / "pair" / f"{name}.nii.gz") for name in ("moving", "fixed", "labels", "moved")}
    write_volume(files["moving"], read_image(first.image).array[..., 0])
    write_volume(files["fixed"], read_image(second.image).array[..., 0])
    write_volume(files["labels"], read_labels(first.labels or first.image).array)
    outputs = {name: str(output_dir / "pair" / f"{name}.nii.gz") for name in ("displacement", "moved_labels")}
    result = register_files(RegisterConfig(model=str(model), **files, **outputs))
    moving, fixed, moved = (read_image(files[name]).array / 255.0 for name in ("moving", "fixed", "moved"))
    picture = output_dir / "registration.png"
    panel = registration_panel(moving, fixed, moved, result.displacement, zoom=3, orientation=ORIENTATION)
    write_picture(picture, panel)
    return picture


def _mean_dice(rows: list[PairScores], method: str) -> float:
    scores = [row.mean("dice") for row in rows if row.method == method]
    return sum(scores) / len(scores)
