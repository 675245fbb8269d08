"""Sources of training pairs: scans, or images that are synthesised from label maps."""

from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from absl import logging

from vxm_tf.data import (
    Atlas,
    Scan,
    ScanStore,
    atlas_pairs,
    listed_pairs,
    read_list,
    read_pairs,
    synthetic_dataset,
    training_dataset,
    training_pairs,
)
from vxm_tf.data.grid_checks import check_grids
from vxm_tf.data.pipeline import pair_shape
from vxm_tf.data.synthetic.augmentation import check_augmentations
from vxm_tf.data.synthetic.label_maps import LabelMaps, find_label_maps
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.headers import stated_grid
from vxm_tf.training.config import TrainConfig
from vxm_tf.training.recorded_grid import agreed, given_orientation, recorded_grid
from vxm_tf.training.scans import find_training_scans, open_store, read_atlas

SYNTHETIC_SHAPE, SYNTHETIC_SPACING_MM = (80, 96, 112), 2.0


class ScanSource:
    """Pairs of scans, or of scans and an atlas.

    Args:
        config: settings of the training.
        scans: scans to train on, one or more.

    Raises:
        InputError: a scan or an atlas that cannot be used, or scans that cannot be laid on each other.
    """

    def __init__(self, config: TrainConfig, scans: list[Scan]) -> None:
        given = read_pairs(config.train_pairs)[1] if config.train_pairs else None
        self.config = config
        self.store = open_store(config, scans, "training")
        self.atlas = read_atlas(config, self.store)
        check_grids(self.store, given, self.atlas)
        self.image_shape = pair_shape(self.store, self.atlas)
        self.channels = self.store.channels
        self.pairs = self._pairs(given)
        self.grid = recorded_grid(config, self.store)
        check_augmentations(config.augmentations)
        self.left_right = _left_right_axis(self.grid.get("orientation"))
        if "flip" in config.augmentations and self.left_right is None:
            logging.warning("No flips: the scans do not say which axis is left to right. Give --orientation.")

    def __str__(self) -> str:
        return f"{len(self.store)} scans"

    def _pairs(self, given: list[tuple[int, int]] | None) -> np.ndarray:
        length, seed = num_pairs(self.config), self.config.seed
        if given is not None:
            return listed_pairs(given, length, seed)
        make = training_pairs if self.atlas is None else atlas_pairs
        return make(len(self.store), length, seed)

    def dataset(self, done: int) -> tf.data.Dataset:
        """The pairs from number `done` on, in batches."""
        return training_dataset(
            self.store,
            self.pairs[done:],
            self.config.batch_size,
            self.atlas,
            augmentations=self.config.augmentations,
            left_right=self.left_right,
            seed=self.config.seed,
            first=done,
        )


class SyntheticSource:
    """Pairs from `data.synthetic.synthesis.synthetic_pair`; each folder of label maps is a population.

    Args:
        config: settings of the training, with `label_maps`.

    Raises:
        InputError: label maps that cannot be used.
    """

    store: ScanStore | None = None
    atlas: Atlas | None = None
    channels = 1

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.populations = []
        for folder in config.label_maps.split(","):
            logging.info("Reading label maps from %s", folder)
            self.populations.append(LabelMaps(find_label_maps(folder)))
        self.image_shape = tuple(config.shape) or SYNTHETIC_SHAPE
        axes = len(self.image_shape)
        ndims = {population.ndim for population in self.populations}
        if ndims != {axes}:
            raise InputError(
                f"{config.label_maps}: holds label maps with {' and '.join(map(str, sorted(ndims)))} axes, but --shape "
                f"has {axes}: {self.image_shape}."
            )
        if len(config.spacing_mm) > 1:
            raise InputError(f"Synthetic images have one voxel size for all axes; got spacing_mm {config.spacing_mm}.")
        self.spacing_mm = config.spacing_mm[0] if config.spacing_mm else SYNTHETIC_SPACING_MM
        self.pairs = self._pairs(num_pairs(config), config.seed)
        self.grid: dict[str, Any] = {"spacing_mm": [self.spacing_mm] * axes}
        stated = {path: stated_grid(path, axes)[1] for population in self.populations for path in population.paths[:1]}
        # Populations without an orientation of their own, such as phantoms, take that of the others.
        stated = {path: orientation for path, orientation in stated.items() if orientation} or stated
        orientation = agreed("orientation", given_orientation(config, axes), stated)
        if orientation:
            self.grid["orientation"] = orientation

    def __str__(self) -> str:
        return f"{sum(map(len, self.populations))} label maps"

    def dataset(self, done: int) -> tf.data.Dataset:
        """The pairs from number `done` on, in batches."""
        return synthetic_dataset(
            self.populations,
            self.pairs[done:],
            self.config.batch_size,
            shape=self.image_shape,
            spacing_mm=self.spacing_mm,
            seed=self.config.seed,
            first=done,
        )

    def _pairs(self, length: int, seed: int) -> np.ndarray:
        """Rows (population, moving, fixed), int64 `[length, 3]`; larger populations are drawn more often."""
        sizes = np.array([len(population) for population in self.populations])
        chosen = np.random.default_rng([seed, 1]).choice(len(sizes), length, p=sizes / sizes.sum())
        pairs = np.empty((length, 3), "int64")
        for number, size in enumerate(sizes):
            rows = np.flatnonzero(chosen == number)
            if len(rows):
                pairs[rows] = [(number, *pair) for pair in training_pairs(size, len(rows), seed)]
        return pairs


TrainingSource: TypeAlias = ScanSource | SyntheticSource


def _left_right_axis(orientation: str | None) -> int | None:
    """The axis that runs between left and right in an orientation such as "LIA"; None without an orientation."""
    return next((axis for axis, letter in enumerate(orientation or "") if letter in "LR"), None)


def num_pairs(config: TrainConfig) -> int:
    """Number of pairs that a whole training sees."""
    return config.epochs * config.steps_per_epoch * config.batch_size


def open_source(config: TrainConfig) -> tuple[TrainingSource, ScanStore | None]:
    """(source of training pairs, `ScanStore` of the validation scans or None).

    Raises:
        InputError: input that cannot be used.
    """
    source: TrainingSource
    if config.label_maps:
        val_scans = read_list(config.val_list) if config.val_list else []
        source = SyntheticSource(config)
    else:
        train_scans, val_scans = find_training_scans(config)
        source = ScanSource(config, train_scans)
    return source, open_store(config, val_scans, "validation") if val_scans else None
