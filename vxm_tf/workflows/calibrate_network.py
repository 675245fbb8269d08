"""Calibrating a network's uncertainty on pairs whose true displacement is known."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from absl import logging

from vxm_tf.configuration import described, option
from vxm_tf.data import ScanStore, find_scans
from vxm_tf.files.atomic import check_output_dir, replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.models.saved import input_settings, load_model
from vxm_tf.registration.predict import displacement_by
from vxm_tf.trust.uncertainty.calibration import COVERAGE, Calibration, calibrate, remember
from vxm_tf.trust.uncertainty.error_features import error_features
from vxm_tf.trust.uncertainty.known_pairs import KnownPair, deformed_pairs, phantom_pairs
from vxm_tf.trust.uncertainty.pair_spread import method_of, pair_spread
from vxm_tf.trust.uncertainty.spread import SAMPLES

# Of phantoms, for a network of any size.
PHANTOM_SHAPES = {2: (128, 128), 3: (64, 64, 64)}


@described
@dataclasses.dataclass(frozen=True)
class CalibrateConfig:
    """Settings of `calibrate_file`; `vxm-calibrate` has one flag for each."""

    model: str = option("", "The .keras file of the network, or shipped for the network that comes with the package.")
    output: str = option("", "Output file (.keras) of the network with its calibration.")
    data_dir: str = option(
        "",
        "Folder of scans, prepared as for training, each of which is deformed twice in a known way; empty for head "
        "phantoms.",
    )
    image_suffix: str = option("", "End of the images' names before the extension, see train.py.")
    labels_suffix: str = option("", "End of the names of segmentations, which are not read.")
    pairs: int = option(16, "Number of pairs, 2 or more.")
    samples: int = option(SAMPLES, "Registrations of each pair; register.py should later use as many.")
    coverage: float = option(COVERAGE, "Part of the true displacements that the bound is to hold, between 0 and 1.")
    seed: int = option(0, "Seed of the deformations and of the registrations.")


def calibrate_file(config: CalibrateConfig) -> Calibration:
    """Write a network with its calibration, which register.py then applies.

    Raises:
        InputError: a model or scans that cannot be used, or a place that cannot be written.
        ValueError: too few pairs or samples, or a coverage that is not between 0 and 1.
    """
    _check(config)
    network = load_model(config.model)
    pairs, source = _known_pairs(network, config)
    settings = {"count": config.pairs, "samples": config.samples, "coverage": config.coverage, "seed": config.seed}
    calibration = calibrate_network(network, pairs, **settings, source=source)
    remember(network, calibration)
    replace_atomically(config.output, network.save)
    logging.info("Written: %s", config.output)
    return calibration


def calibrate_network(
    network, pairs: Iterable[KnownPair], *, count=None, samples=SAMPLES, coverage=COVERAGE, seed=0, source=""
) -> Calibration:
    """The `Calibration` of a network, by the way that `pair_spread` chooses for it.

    Args:
        network: a `RegistrationNetwork`.
        pairs: two or more, with what the network is meant for.
        count: how many they are, to be told.
        samples: registrations of each pair.
        coverage: see `calibrate`.
        seed: of the registrations.
        source: see `calibrate`.
    """
    rows, networks = [], {}
    for number, pair in enumerate(pairs, 1):
        shape = pair.fixed.shape[:-1]
        # Each network compiles once.
        networks[shape] = networks.get(shape) or network.for_shape(shape)
        rows.append(known_errors(networks[shape], pair, samples, seed=seed + number))
        logging.info(
            "%d%s pairs: median error %.2f voxels.", number, f" of {count}" if count else "", np.median(rows[-1][0])
        )
    found = calibrate(rows, method_of(network), samples, coverage, source)
    radii = [np.median(found.radius(features)) for _, features in rows]
    logging.info("%g %% of the errors lie within a radius of %.2f voxels (median).", 100 * coverage, np.median(radii))
    return found


def known_errors(network, pair: KnownPair, samples: int, seed: int = 0) -> tuple:
    """(error in voxels `[voxels]`, {feature: `[voxels]`}) of what the fixed image shows, for a network of its shape."""
    images, register = (pair.moving, pair.fixed), displacement_by(network)
    settings = {"refined": False, "linear": np.eye(pair.fixed.ndim - 1), "samples": samples, "seed": seed}
    spread, displacement = pair_spread(*images, register, network, **settings), register(*images)
    features = error_features(*images, displacement, spread.displacement_std_mm)
    error = np.linalg.norm(displacement - pair.displacement, axis=-1)
    return error[pair.inside], {name: values[pair.inside] for name, values in features.items()}


def _check(config):
    if Path(config.output).suffix != ".keras":
        raise InputError(f"{config.output}: a network with its calibration is written as .keras.")
    check_output_dir(Path(config.output).parent)
    if config.pairs < 2 or config.samples < 2:
        raise InputError(f"pairs and samples are 2 or more; got {config.pairs} and {config.samples}.")
    if not 0.0 < config.coverage < 1.0:
        raise InputError(f"coverage lies between 0 and 1; got {config.coverage}.")


def _known_pairs(network, config):
    """(pairs, what they are)."""
    settings = input_settings(network)
    if not config.data_dir:
        channels = network.settings["channels"]
        if set(channels) != {1}:
            raise InputError(f"Phantoms have one channel, this network takes {max(channels)}; give --data_dir.")
        sizes = network.settings["image_shape"]
        shape = PHANTOM_SHAPES[len(sizes)] if None in sizes else sizes
        return phantom_pairs(shape, config.pairs, config.seed), f"phantoms of {' x '.join(map(str, shape))} voxels"
    scans = find_scans(config.data_dir, image_suffix=config.image_suffix, labels_suffix=config.labels_suffix)
    scans = scans[: config.pairs]
    logging.info("Reading %d scans.", len(scans))
    store = ScanStore(scans, settings["normalization"], multichannel=settings["multichannel"])
    images = [store.image(number) for number in range(len(store))]
    return deformed_pairs(images, config.pairs, config.seed), f"{len(scans)} scans, each deformed twice"
