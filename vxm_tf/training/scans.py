"""The scans and the atlas that a training reads."""

import numpy as np
from absl import logging

from vxm_tf.data import ScanStore, normalize, read_list, split_scans
from vxm_tf.data.catalogue import Scan
from vxm_tf.files import read_image, read_labels
from vxm_tf.files.errors import InputError
from vxm_tf.files.volumes import own_labels
from vxm_tf.training.config import TrainConfig


def find_training_scans(config: TrainConfig) -> tuple[list[Scan], list[Scan]]:
    """(training scans, validation scans) that a configuration names.

    Raises:
        InputError: nothing to train on.
    """
    suffixes = {"image_suffix": config.image_suffix, "labels_suffix": config.labels_suffix}
    val: list[Scan] = []
    if config.train_list:
        train = read_list(config.train_list)
    else:
        # A list of its own for validation leaves every scan of the folder to training.
        fraction = 0.0 if config.val_list else config.validation_fraction
        train, val = split_scans(config.data_dir, validation_fraction=fraction, seed=config.seed, **suffixes)
    if config.val_list:
        val = read_list(config.val_list)
    needed = 1 if config.atlas else 2
    if len(train) < needed:
        raise InputError(
            f"{config.train_list or config.data_dir}: {len(train)} scan(s) left to train on after "
            f"{len(val)} went to validation, but {needed} are needed. Add scans, lower --validation_fraction, or "
            "give an --atlas."
        )
    return train, val


def open_store(config: TrainConfig, scans: list[Scan], purpose: str) -> ScanStore:
    """Read, check and normalise scans; `purpose`, "training" or "validation", is for the log."""

    def progress(done: int, total: int) -> None:
        if done == total or done % max(1, total // 10) == 0:
            logging.info("Reading %s scans: %d of %d", purpose, done, total)

    return ScanStore(
        scans,
        config.normalization,
        multichannel=config.multichannel,
        cache=config.cache,
        cache_dir=f"{config.output_dir}/cache",
        progress=progress,
    )


def read_atlas(config: TrainConfig) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(image `[*spatial, channels]`, label map or None) of the atlas; (None, None) without one."""
    if not config.atlas:
        return None, None
    image = normalize(read_image(config.atlas, multichannel=config.multichannel).array, config.normalization)
    return image, read_labels(config.atlas).array if own_labels(config.atlas) else None
