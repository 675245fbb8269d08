"""The command vxm-demo: the whole main job on phantoms."""

import dataclasses
import time
from pathlib import Path

from absl import logging

from vxm_tf.cli import command
from vxm_tf.data import find_scans, read_image, write_volume
from vxm_tf.data.phantoms import write_population
from vxm_tf.evaluation import EvaluateConfig, evaluate
from vxm_tf.files.volumes import read_labels
from vxm_tf.registration import RegisterConfig, load_model, register_files
from vxm_tf.report import registration_panel, write_picture
from vxm_tf.serving import export_saved_model
from vxm_tf.training import TrainConfig, train

DESCRIPTION = "Train, evaluate, export and register on procedural head phantoms, and draw the result."
SHAPE = (64, 64, 64)
# Directions of a phantom's axes.
ORIENTATION = "PRS"


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Settings of the command.

    Attributes:
        output_dir: for everything that the demo makes.
        epochs: of training.
        steps_per_epoch: training steps an epoch.
    """

    output_dir: str = "demo"
    epochs: int = 4
    steps_per_epoch: int = 100


def demo(config):
    """Run the main job; return (Dice before, Dice after) over the held-out pairs."""
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


def _register(output_dir, data_dir, model):
    moving, fixed = find_scans(data_dir / "val")[:2]
    files = {name: str(output_dir / "pair" / f"{name}.nii.gz") for name in ("moving", "fixed", "labels", "moved")}
    write_volume(files["moving"], read_image(moving.image).array[..., 0])
    write_volume(files["fixed"], read_image(fixed.image).array[..., 0])
    write_volume(files["labels"], read_labels(moving.labels).array)
    moved = {name: str(output_dir / "pair" / f"{name}.nii.gz") for name in ("displacement", "moved_labels")}
    result = register_files(RegisterConfig(model=str(model), **files, **moved))
    images = [read_image(files[name]).array / 255.0 for name in ("moving", "fixed", "moved")]
    picture = output_dir / "registration.png"
    write_picture(picture, registration_panel(*images, result.displacement, zoom=3, orientation=ORIENTATION))
    return picture


def _mean_dice(rows, method):
    scores = [row.mean("dice") for row in rows if row.method == method]
    return sum(scores) / len(scores)


def define_flags(values):
    """One flag for each field of `DemoConfig`."""
    flag = command.Flags(values, DemoConfig())
    flag.string("output_dir", "For everything that the demo makes.")
    flag.integer("epochs", "Of training.")
    flag.integer("steps_per_epoch", "Training steps an epoch.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, lambda values: demo(command.config(DemoConfig, values)), DESCRIPTION, argv)


if __name__ == "__main__":
    main()
