"""The scans and the atlas that a training reads."""

from pathlib import Path

from absl import logging

from vxm_tf.configuration import check_alone
from vxm_tf.data import Atlas, Scan, ScanStore, open_atlas, read_list, read_pairs, split_scans
from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import stem
from vxm_tf.files.volumes import own_labels
from vxm_tf.training.config import TrainConfig


def find_training_scans(config: TrainConfig) -> tuple[list[Scan], list[Scan]]:
    """(training scans, validation scans) that a configuration names; `read_pairs` tells the pairs of a list of pairs.

    Raises:
        InputError: nothing to train on, or settings that exclude each other.
    """
    check_alone(config, "train_pairs", ("data_dir", "train_list", "atlas"))
    check_alone(config, "train_list", ("data_dir",))
    check_alone(config, "val_pairs", ("val_list", "atlas"))
    suffixes = {"image_suffix": config.image_suffix, "labels_suffix": config.labels_suffix}
    val: list[Scan] = []
    if config.train_pairs:
        train = read_pairs(config.train_pairs)[0]
    elif config.train_list:
        train = read_list(config.train_list)
    else:
        # A list of its own for validation leaves every scan of the folder to training.
        fraction = 0.0 if config.val_list or config.val_pairs else config.validation_fraction
        train, val = split_scans(config.data_dir, validation_fraction=fraction, seed=config.seed, **suffixes)
    if config.val_list:
        val = read_list(config.val_list)
    if config.val_pairs:
        val = read_pairs(config.val_pairs)[0]
    needed = 1 if config.atlas else 2
    if len(train) < needed and not config.train_pairs:
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


def read_atlas(config: TrainConfig, store: ScanStore) -> Atlas | None:
    """The atlas on the grid of the scans in `store`; None without one.

    Raises:
        InputError: an atlas that cannot be used.
    """
    if not config.atlas:
        return None
    path = Path(config.atlas)
    return open_atlas(Scan(stem(path), path, own_labels(path)), store)
