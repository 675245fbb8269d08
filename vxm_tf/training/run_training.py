"""From a folder of scans to a trained network."""

import dataclasses
import json
import sys
from pathlib import Path

import keras
from absl import logging

from vxm_tf.data import ordered_pairs
from vxm_tf.data.pipeline import pair_shape
from vxm_tf.data.synthetic.phantoms import write_population
from vxm_tf.files.atomic import check_output_dir
from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import read_json, write_json
from vxm_tf.models import input_settings
from vxm_tf.training.assembly import build_network, build_trainer
from vxm_tf.training.checkpoint import DivergenceCheck, TrainingState
from vxm_tf.training.source import open_source
from vxm_tf.training.tensorboard import tensorboard_callbacks
from vxm_tf.training.validation import PairValidation

PHANTOM_SHAPE = (64, 64, 64)
SMALLEST = {1: ("epochs", "steps_per_epoch", "batch_size"), 0: ("max_val_pairs", "patience", "warmup_steps")}
# Settings of scans alone.
OF_SCANS = ("data_dir", "train_list", "atlas", "augmentations", "multichannel")


def train(config) -> Path:
    """Train a network as configured, or go on with a training that was interrupted.

    Args:
        config: a `TrainConfig`.

    Returns:
        Path of the best network, `<output_dir>/best.keras`.

    Raises:
        InputError: input that cannot be used, or an output folder that cannot be written or belongs to a
            training with other settings.
        ValueError: a setting that does not exist.
    """
    _check(config)
    config = _with_data(config)
    output_dir = Path(config.output_dir)
    _claim(output_dir, config)
    _seed(config)
    source, val_store = open_source(config)
    _check_alike(source, val_store)
    val_pairs = _validation_pairs(config, val_store, source.atlas)

    network = build_network(config, _image_shape(source, val_store), source.channels)
    if config.initial_model and input_settings(network)["normalization"] != config.normalization:
        logging.warning(
            "%s was trained on images with --normalization %s; this training uses %s.",
            config.initial_model, input_settings(network)["normalization"], config.normalization,
        )  # fmt: skip
    network.metadata = {"normalization": config.normalization, "multichannel": config.multichannel}
    network.metadata["grid"] = source.grid
    trainer = build_trainer(config, network)
    scored = val_store is not None and bool(val_pairs)
    comparable = scored and (source.atlas is None or source.atlas_labels is not None)
    with_dice = comparable and val_store.has_labels
    # Read now: a bad segmentation is told before the first epoch, not after it.
    for index in range(len(val_store) if comparable else 0):
        val_store.labels(index)
    monitor, mode = ("val_dice", "max") if with_dice else ("val_loss" if scored else "loss", "min")
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


def _callbacks(config, source, val_store, val_pairs):
    """What happens after each epoch, besides saving."""
    callbacks = []
    if val_pairs:
        labels = source.atlas_labels
        callbacks.append(PairValidation(val_store, val_pairs, atlas=source.atlas, atlas_labels=labels))
    if config.tensorboard:
        shown = (val_store, val_pairs) if val_pairs else (source.store, source.pairs[:1].tolist())
        if shown[0] is None:
            shown = (None, [])
        callbacks += tensorboard_callbacks(Path(config.output_dir) / "tensorboard", *shown, source.atlas)
    return callbacks


def _check(config):
    for smallest, names in SMALLEST.items():
        for name in names:
            if getattr(config, name) < smallest:
                raise ValueError(f"{name} is {smallest} or more; got {getattr(config, name)}.")
    ignored = [name for name in OF_SCANS if getattr(config, name) != getattr(type(config)(), name)]
    if config.label_maps and ignored:
        raise ValueError(
            f"With label_maps no scan is trained on, so {' and '.join(ignored)} would do nothing. Leave one out."
        )
    if any(size <= 0 for size in config.spacing_mm):
        raise ValueError(f"spacing_mm holds positive millimetres; got {config.spacing_mm}.")


def _image_shape(source, val_store):
    """What the network is built for: None for every axis where the shapes of training and validation differ."""
    validated = source.image_shape if val_store is None else pair_shape(val_store, source.atlas)
    if validated == source.image_shape:
        return source.image_shape
    logging.warning(
        "Validation scans need the shape %s, training scans %s: the network is made for any shape, which slows its "
        "steps. Scans of one shape are quicker.",
        validated, source.image_shape,
    )  # fmt: skip
    return (None,) * len(source.image_shape)


def _check_alike(source, val_store):
    """Raise `InputError` unless validation scans and atlas have the training images' axes and channels."""
    others = {} if val_store is None else {val_store.scans[0].image: val_store.image(0)}
    others |= {} if source.atlas is None else {source.config.atlas: source.atlas}
    axes, channels = len(source.image_shape), source.channels
    for path, image in others.items():
        if (image.ndim - 1, image.shape[-1]) != (axes, channels):
            raise InputError(
                f"{path} is {image.ndim - 1}-D with {image.shape[-1]} channel(s), but the training scans are {axes}-D "
                f"with {channels}."
            )


def _with_data(config):
    if config.data_dir or config.train_list or config.label_maps:
        return config
    directory = Path(config.output_dir) / "phantoms"
    logging.info("No --data_dir: training on procedural head phantoms, written to %s.", directory)
    check_output_dir(config.output_dir)
    write_population(directory, shape=PHANTOM_SHAPE, num_train=16, num_val=4, seed=config.seed)
    return dataclasses.replace(config, data_dir=str(directory))


def _claim(output_dir, config):
    """Make the folder and refuse one that belongs to a training with other settings."""
    check_output_dir(output_dir)
    path = output_dir / "config.json"
    if not path.exists():
        return
    # As JSON has it, where a tuple is a list; a setting that an older version did not know had its default.
    default, now = (json.loads(json.dumps(dataclasses.asdict(c))) for c in (type(config)(), config))
    before = {**default, **read_json(path)}
    changed = [f"{name}: {before[name]!r} -> {now[name]!r}" for name in now if before[name] != now[name]]
    if changed and (output_dir / "state.json").exists():
        raise InputError(
            f"{output_dir} holds a training with other settings ({'; '.join(changed)}). Give the same command to go on "
            "with it, or another --output_dir."
        )


def _seed(config):
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _validation_pairs(config, val_store, atlas):
    if val_store is None:
        return []
    if atlas is None:
        return ordered_pairs(len(val_store), config.max_val_pairs, config.seed)
    return [(index, -1) for index in range(min(len(val_store), config.max_val_pairs))]
