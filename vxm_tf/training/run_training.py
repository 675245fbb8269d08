"""Training of a network on a folder of scans."""

import dataclasses
import json
import sys
from pathlib import Path

import keras
from absl import logging

from vxm_tf.data import Atlas, ScanStore, ordered_pairs, read_pairs
from vxm_tf.data.grid_checks import check_grids
from vxm_tf.data.pipeline import pair_shape
from vxm_tf.data.scan_names import listed
from vxm_tf.data.synthetic.phantoms import write_population
from vxm_tf.files.atomic import check_output_dir
from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import read_json, write_json
from vxm_tf.models import input_settings
from vxm_tf.ops.tensors import Shape
from vxm_tf.training.assembly import build_network, build_trainer
from vxm_tf.training.checkpoint import DivergenceCheck, TrainingState
from vxm_tf.training.config import TrainConfig
from vxm_tf.training.source import TrainingSource, open_source
from vxm_tf.training.tensorboard import tensorboard_callbacks
from vxm_tf.training.validation import PairValidation

PHANTOM_SHAPE = (64, 64, 64)
SMALLEST = {1: ("epochs", "steps_per_epoch", "batch_size"), 0: ("max_val_pairs", "patience", "warmup_steps")}
# Settings that apply to scans, not to images synthesised from label maps.
SCAN_SETTINGS = ("data_dir", "train_list", "train_pairs", "atlas", "augmentations", "multichannel")


def train(config: TrainConfig) -> Path:
    """Train a network as configured, or go on with a training that was interrupted.

    Args:
        config: settings of the training.

    Returns:
        Path of the best network, `<output_dir>/best.keras`.

    Raises:
        InputError: input that cannot be used, an output folder that cannot be written or belongs to a training with
            other settings, a number out of range, or settings that exclude each other.
    """
    _check(config)
    config = _with_data(config)
    output_dir = Path(config.output_dir)
    _claim(output_dir, config)
    _seed(config)
    source, val_store = open_source(config)
    _check_alike(source, val_store)
    val_pairs = _validation_pairs(config, val_store, source.atlas)
    if val_store is not None and val_pairs:
        check_grids(val_store, val_pairs, source.atlas)

    network = build_network(config, _image_shape(source, val_store), source.channels)
    if config.initial_model and input_settings(network)["normalization"] != config.normalization:
        logging.warning(
            "%s was trained on images with --normalization %s; this training uses %s.",
            config.initial_model, input_settings(network)["normalization"], config.normalization,
        )  # fmt: skip
    network.metadata = {"normalization": config.normalization, "multichannel": config.multichannel}
    network.metadata["grid"] = source.grid
    trainer = build_trainer(config, network)
    monitor, mode = _monitor(source.atlas, val_store, val_pairs)
    state = TrainingState(output_dir, monitor=monitor, mode=mode, patience=config.patience)
    if state.restore(trainer):
        logging.info("Going on after epoch %d of %d in %s.", state.epoch, config.epochs, output_dir)
    write_json(output_dir / "config.json", dataclasses.asdict(config))
    logging.info(
        "Training on %s, %d validation pairs, images %s, %d parameters, precision %s.",
        source, len(val_pairs), source.image_shape, network.count_params(), network.dtype_policy.name,
    )  # fmt: skip
    if state.epoch >= config.epochs or state.stopped:
        logging.info("This training is complete: %s", output_dir / "best.keras")
        return output_dir / "best.keras"

    callbacks = [DivergenceCheck(output_dir), *_callbacks(config, source, val_store, val_pairs), state]
    trainer.fit(
        source.dataset(state.epoch * config.steps_per_epoch * config.batch_size),
        epochs=config.epochs,
        initial_epoch=state.epoch,
        steps_per_epoch=config.steps_per_epoch,
        callbacks=callbacks,
        verbose=1 if sys.stdout.isatty() else 2,
        shuffle=False,
    )
    return output_dir / "best.keras"


def _monitor(atlas: Atlas | None, val_store: ScanStore | None, val_pairs: list[tuple[int, int]]) -> tuple[str, str]:
    """(name of the score that chooses the best network, "max" or "min").

    Raises:
        InputError: a segmentation that cannot be used; read here, it is reported before the first epoch, not after it.
    """
    if val_store is None or not val_pairs:
        return "loss", "min"
    for index in range(len(val_store)):
        val_store.labels(index)
    # The last entry, which a negative index means, is the atlas.
    labelled = [scan.labels is not None for scan in val_store.scans] + [atlas is not None and atlas.labels is not None]
    scored = sum(labelled[moving] and labelled[fixed] for moving, fixed in val_pairs)
    if scored == len(val_pairs):
        return "val_dice", "max"
    if scored:
        logging.warning(
            "Only %d of %d validation pairs have segmentations of both scans: val_dice is the mean over these, and the "
            "best network is chosen by val_loss. Without a segmentation: %s.",
            scored, len(val_pairs), listed(scan.name for scan in val_store.scans if scan.labels is None),
        )  # fmt: skip
    return "val_loss", "min"


def _callbacks(
    config: TrainConfig, source: TrainingSource, val_store: ScanStore | None, val_pairs: list[tuple[int, int]]
) -> list[keras.callbacks.Callback]:
    """The callbacks for validation and TensorBoard."""
    callbacks = []
    if val_store is not None and val_pairs:
        callbacks.append(PairValidation(val_store, val_pairs, atlas=source.atlas))
    if config.tensorboard:
        store, pairs = (val_store, val_pairs) if val_pairs else (source.store, source.pairs[:1].tolist())
        folder = Path(config.output_dir) / "tensorboard"
        callbacks += tensorboard_callbacks(folder, store, pairs, source.atlas)
    return callbacks


def _check(config: TrainConfig) -> None:
    for smallest, names in SMALLEST.items():
        for name in names:
            if getattr(config, name) < smallest:
                raise InputError(f"{name} is {smallest} or more; got {getattr(config, name)}.")
    ignored = [name for name in SCAN_SETTINGS if getattr(config, name) != getattr(type(config)(), name)]
    if config.label_maps and ignored:
        raise InputError(
            f"With label_maps no scan is trained on, so {' and '.join(ignored)} would do nothing. Leave one out."
        )
    if any(size <= 0 for size in config.spacing_mm):
        raise InputError(f"spacing_mm holds positive millimetres; got {config.spacing_mm}.")


def _image_shape(source: TrainingSource, val_store: ScanStore | None) -> Shape:
    """Spatial shape that the network is built for; None for every axis where training and validation scans differ."""
    validated = source.image_shape if val_store is None else pair_shape(val_store, source.atlas)
    if validated == source.image_shape:
        return source.image_shape
    logging.warning(
        "Validation scans need the shape %s, training scans %s: the network is made for any shape, which slows its "
        "steps. Scans of one shape are quicker.",
        validated, source.image_shape,
    )  # fmt: skip
    return (None,) * len(source.image_shape)


def _check_alike(source: TrainingSource, val_store: ScanStore | None) -> None:
    """Raise `InputError` unless validation scans and atlas have the training images' axes and channels."""
    others = {}
    if val_store is not None:
        others[str(val_store.scans[0].image)] = val_store.image(0)
    if source.atlas is not None:
        others[source.atlas.name] = source.atlas.image
    axes, channels = len(source.image_shape), source.channels
    for path, image in others.items():
        if (image.ndim - 1, image.shape[-1]) != (axes, channels):
            raise InputError(
                f"{path} is {image.ndim - 1}-D with {image.shape[-1]} channel(s), but the training scans are {axes}-D "
                f"with {channels}."
            )


def _with_data(config: TrainConfig) -> TrainConfig:
    """The configuration; one that names no data gets a folder of phantoms, which is written here."""
    if config.data_dir or config.train_list or config.train_pairs or config.label_maps:
        return config
    directory = Path(config.output_dir) / "phantoms"
    logging.info("No --data_dir: training on procedural head phantoms, written to %s.", directory)
    check_output_dir(config.output_dir)
    write_population(directory, shape=PHANTOM_SHAPE, num_train=16, num_val=4, seed=config.seed)
    return dataclasses.replace(config, data_dir=str(directory))


def _claim(output_dir: Path, config: TrainConfig) -> None:
    """Make the output folder, and refuse one that belongs to a training with other settings."""
    check_output_dir(output_dir)
    path = output_dir / "config.json"
    if not path.exists():
        return
    # Compared as JSON, where a tuple is a list; a setting that an older version lacked counts as its default.
    default, now = (json.loads(json.dumps(dataclasses.asdict(c))) for c in (type(config)(), config))
    before = {**default, **read_json(path)}
    changed = [f"{name}: {before[name]!r} -> {now[name]!r}" for name in now if before[name] != now[name]]
    if changed and (output_dir / "state.json").exists():
        raise InputError(
            f"{output_dir} holds a training with other settings ({'; '.join(changed)}). Give the same command to go on "
            "with it, or another --output_dir."
        )


def _seed(config: TrainConfig) -> None:
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _validation_pairs(config: TrainConfig, val_store: ScanStore | None, atlas: Atlas | None) -> list[tuple[int, int]]:
    if val_store is None:
        return []
    if config.val_pairs:
        return read_pairs(config.val_pairs)[1][: config.max_val_pairs]
    if atlas is None:
        return ordered_pairs(len(val_store), config.max_val_pairs, config.seed)
    return [(index, -1) for index in range(min(len(val_store), config.max_val_pairs))]
