"""Where the pairs of a training come from: scans, or images synthesised from label maps."""

import numpy as np
from absl import logging

from vxm_tf.data import atlas_pairs, read_list, synthetic_dataset, training_dataset, training_pairs
from vxm_tf.data.pipeline import pair_shape
from vxm_tf.data.synthetic.augmentation import check_augmentations
from vxm_tf.data.synthetic.label_maps import LabelMaps, find_label_maps
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.headers import stated_grid
from vxm_tf.training.recorded_grid import agreed, given_orientation, recorded_grid
from vxm_tf.training.scans import find_training_scans, open_store, read_atlas

SYNTHETIC_SHAPE, SYNTHETIC_SPACING_MM = (80, 96, 112), 2.0


class ScanSource:
    """Pairs of scans, or of scans and an atlas.

    Args:
        config: a `TrainConfig`.
        scans: to train on.

    Raises:
        InputError: a scan or an atlas that cannot be used.
    """

    def __init__(self, config, scans):
        self.config = config
        self.store = open_store(config, scans, "training")
        self.atlas, self.atlas_labels = read_atlas(config)
        self.image_shape = pair_shape(self.store, self.atlas)
        self.channels = self.store.channels
        make = training_pairs if self.atlas is None else atlas_pairs
        self.pairs = make(len(self.store), num_pairs(config), config.seed)
        self.grid = recorded_grid(config, self.store)
        check_augmentations(config.augmentations)
        self.left_right = _left_right_axis(self.grid.get("orientation"))
        if "flip" in config.augmentations and self.left_right is None:
            logging.warning("No flips: the scans do not say which axis is left to right. Give --orientation.")

    def __str__(self):
        return f"{len(self.store)} scans"

    def dataset(self, done: int):
        """The pairs from number `done` on, in batches."""
        config = self.config
        changes = {"augmentations": config.augmentations, "left_right": self.left_right}
        return training_dataset(
            self.store, self.pairs[done:], config.batch_size, self.atlas, **changes, seed=config.seed, first=done
        )


class SyntheticSource:
    """Pairs of synthetic images, see `vxm_tf.data.synthetic_pair`; each folder of label maps is a population.

    Args:
        config: a `TrainConfig` with `label_maps`.

    Raises:
        InputError: label maps that cannot be used.
    """

    store, atlas, atlas_labels, channels = None, None, None, 1

    def __init__(self, config):
        self.config = config
        self.populations = []
        for folder in config.label_maps.split(","):
            logging.info("Reading label maps from %s", folder)
            self.populations.append(LabelMaps(find_label_maps(folder)))
        self.image_shape = tuple(config.shape) or SYNTHETIC_SHAPE
        axes = {population.ndim for population in self.populations}
        if axes != {len(self.image_shape)}:
            raise InputError(
                f"{config.label_maps}: holds label maps with {' and '.join(map(str, sorted(axes)))} axes, but --shape "
                f"has {len(self.image_shape)}: {self.image_shape}."
            )
        if len(config.spacing_mm) > 1:
            raise ValueError(f"Synthetic images have one voxel size for all axes; got spacing_mm {config.spacing_mm}.")
        self.spacing_mm = config.spacing_mm[0] if config.spacing_mm else SYNTHETIC_SPACING_MM
        self.pairs = self._pairs(num_pairs(config), config.seed)
        self.grid = {"spacing_mm": [self.spacing_mm] * len(self.image_shape)}
        axes = len(self.image_shape)
        stated = {path: stated_grid(path, axes)[1] for population in self.populations for path in population.paths[:1]}
        # Populations that do not say how they lie, such as phantoms, go by those that do.
        stated = {path: orientation for path, orientation in stated.items() if orientation} or stated
        orientation = agreed("orientation", given_orientation(config, axes), stated)
        if orientation:
            self.grid["orientation"] = orientation

    def __str__(self):
        return f"{sum(map(len, self.populations))} label maps"

    def dataset(self, done: int):
        """The pairs from number `done` on, in batches."""
        config = self.config
        settings = {"shape": self.image_shape, "spacing_mm": self.spacing_mm, "seed": config.seed, "first": done}
        return synthetic_dataset(self.populations, self.pairs[done:], config.batch_size, **settings)

    def _pairs(self, length, seed):
        """(population, moving, fixed), a population as often as it has members."""
        sizes = np.array([len(population) for population in self.populations])
        chosen = np.random.default_rng([seed, 1]).choice(len(sizes), length, p=sizes / sizes.sum())
        pairs = np.empty((length, 3), "int64")
        for number, size in enumerate(sizes):
            rows = np.flatnonzero(chosen == number)
            if len(rows):
                pairs[rows] = [(number, *pair) for pair in training_pairs(size, len(rows), seed)]
        return pairs


def _left_right_axis(orientation):
    """Which axis runs from left to right, in a word such as "LIA"."""
    return next((axis for axis, letter in enumerate(orientation or "") if letter in "LR"), None)


def num_pairs(config) -> int:
    """Pairs that a whole training sees."""
    return config.epochs * config.steps_per_epoch * config.batch_size


def open_source(config):
    """(source of training pairs, `ScanStore` of the validation scans or None).

    Raises:
        InputError: input that cannot be used.
    """
    if config.label_maps:
        val_scans = read_list(config.val_list) if config.val_list else []
        return SyntheticSource(config), open_store(config, val_scans, "validation")
    train_scans, val_scans = find_training_scans(config)
    return ScanSource(config, train_scans), open_store(config, val_scans, "validation")
