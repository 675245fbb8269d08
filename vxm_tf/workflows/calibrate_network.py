"""Calibrating a network's uncertainty on pairs whose true displacement is known."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from absl import logging

from vxm_tf.configuration import described, option
from vxm_tf.files.atomic import check_output_file, replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork
from vxm_tf.models.saved import load_model
from vxm_tf.ops.tensors import Shape
from vxm_tf.registration.predict import displacement_by
from vxm_tf.spatial.working_grid import GridSettings
from vxm_tf.trust.uncertainty.calibrated_range import pair_measures
from vxm_tf.trust.uncertainty.calibration import COVERAGE, Calibration, calibrate, remember
from vxm_tf.trust.uncertainty.error_features import error_features
from vxm_tf.trust.uncertainty.known_pairs import KnownPair, deformed_pairs, phantom_pairs
from vxm_tf.trust.uncertainty.pair_factor import check_coverage
from vxm_tf.trust.uncertainty.pair_spread import method_of, pair_spread
from vxm_tf.trust.uncertainty.spread import SAMPLES
from vxm_tf.workflows.calibration_scans import prepared_scans, scans_to_calibrate

# Shape of the phantoms for a network of any shape, by its number of axes.
PHANTOM_SHAPES = {2: (128, 128), 3: (64, 64, 64)}


@described
@dataclasses.dataclass(frozen=True)
class CalibrateConfig:
    """Settings of `calibrate_file`; `vxm-calibrate` has one flag for each."""

    model: str = option("", "The .keras file of the network, or shipped for the network that comes with the package.")
    output: str = option("", "Output file (.keras) of the network with its calibration.")
    data_dir: str = option(
        "",
        "Folder of scans, each of which is brought onto the network's grid and deformed twice in a known way; empty "
        "for head phantoms. The people should be others than those that the network was trained on: scans in a "
        "subfolder train are left out where there are others.",
    )
    image_suffix: str = option("", "End of the images' names before the extension, such as _norm.")
    labels_suffix: str = option(
        "", "End of the segmentations' names before the extension, such as _seg; segmentations are left out."
    )
    pairs: int = option(
        16, "Number of pairs, 2 or more; a coverage of 90 % needs 4, one of 95 % needs 9, one of 99 % needs 49."
    )
    samples: int = option(SAMPLES, "Number of registrations of each pair; register.py should later use as many.")
    coverage: float = option(
        COVERAGE, "Fraction of the true displacements that the error bound should contain, between 0 and 1."
    )
    seed: int = option(0, "Seed of the deformations and of the registrations.")


def calibrate_file(config: CalibrateConfig) -> Calibration:
    """Calibrate a network and write it with its calibration, which register.py then applies.

    Raises:
        InputError: a model or scans that cannot be used, a place that cannot be written, too few pairs or samples, or
            a coverage that is not between 0 and 1 or that so few pairs cannot promise.
    """
    _check(config)
    network = load_model(config.model)
    pairs, source = _known_pairs(network, config)
    calibration = calibrate_network(
        network,
        pairs,
        count=config.pairs,
        samples=config.samples,
        coverage=config.coverage,
        seed=config.seed,
        source=source,
    )
    remember(network, calibration)
    replace_atomically(config.output, network.save)
    logging.info("Written: %s", config.output)
    return calibration


def calibrate_network(
    network: RegistrationNetwork,
    pairs: Iterable[KnownPair],
    *,
    count: int | None = None,
    samples: int = SAMPLES,
    coverage: float = COVERAGE,
    seed: int = 0,
    source: str = "",
) -> Calibration:
    """Measure the `Calibration` of a network, by the method that `pair_spread` chooses for it.

    Args:
        network: the network to calibrate.
        pairs: two or more pairs, like those that the network is meant for.
        count: number of pairs, for the log.
        samples: number of registrations of each pair.
        coverage: see `calibrate`.
        seed: seed of the registrations.
        source: see `calibrate`.
    """
    rows: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
    measures: list[dict[str, float]] = []
    grids: list[dict[str, list[float]]] = []
    networks: dict[Shape, RegistrationNetwork] = {}
    for number, pair in enumerate(pairs, 1):
        shape = pair.fixed.shape[:-1]
        # One network for each shape, because each network compiles once.
        networks[shape] = networks.get(shape) or network.for_shape(shape)
        error, features, measured = measured_pair(networks[shape], pair, samples, seed=seed + number)
        rows.append((error, features))
        measures.append(measured)
        grids.append({"shape": list(shape), "spacing_mm": list(pair.spacing_mm)})
        logging.info(
            "%d%s pairs: median error %.2f voxels.", number, f" of {count}" if count else "", np.median(rows[-1][0])
        )
    calibration = calibrate(rows, method_of(network), samples, coverage, source, measures, _common(grids))
    radii = [np.median(calibration.radius(features)) for _, features in rows]
    logging.info("%g %% of the errors lie within a radius of %.2f voxels (median).", 100 * coverage, np.median(radii))
    logging.info("%s", promise(calibration))
    return calibration


def promise(calibration: Calibration) -> str:
    """A sentence that states for how many pairs, and within which interval, a calibration holds."""
    low, high = (100 * (share or 0.0) for share in (calibration.lowest_coverage, calibration.highest_coverage))
    return (
        f"Measured on {calibration.pairs} pairs: the promise of {100 * calibration.coverage:g} % holds on average over "
        f"pairs like these; in a single further pair {low:.0f} to {high:.0f} % of the errors lie within (eight pairs "
        "of ten)."
    )


def known_errors(
    network: RegistrationNetwork, pair: KnownPair, samples: int, seed: int = 0
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(error `[voxels]`, {feature: `[voxels]`}) in the voxels of the fixed image that belong to its content.

    Args:
        network: see `measured_pair`.
        pair: see `measured_pair`.
        samples: see `measured_pair`.
        seed: see `measured_pair`.
    """
    return measured_pair(network, pair, samples, seed)[:2]


def measured_pair(
    network: RegistrationNetwork, pair: KnownPair, samples: int, seed: int = 0
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, float]]:
    """(error `[voxels]`, {feature: `[voxels]`}, {measure: value}) in the voxels of the fixed image's content.

    Lengths are in mean voxel sizes: millimetres divided by the geometric mean of the voxel's edges.

    Args:
        network: a network for the pair's shape.
        pair: two images with their true displacement.
        samples: number of registrations from which the spread is estimated.
        seed: seed of these registrations.
    """
    moving, fixed, register, inside = pair.moving, pair.fixed, displacement_by(network), pair.inside
    spread = pair_spread(
        moving, fixed, register, network, refined=False, linear=pair.linear, samples=samples, seed=seed
    ).displacement_std_mm
    displacement = register(moving, fixed)
    features = error_features(moving, fixed, displacement, spread, pair.linear)
    error = np.linalg.norm((displacement - pair.displacement) @ pair.linear.T, axis=-1)
    measures = pair_measures(displacement @ pair.linear.T, features, inside)
    return error[inside], {name: values[inside] for name, values in features.items()}, measures


def _common(grids: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    """The properties of grids that are stated and the same for all."""
    first = grids[0] if grids else {}
    return {name: value for name, value in first.items() if value and all(value == other[name] for other in grids)}


def _check(config: CalibrateConfig) -> None:
    if Path(config.output).suffix != ".keras":
        raise InputError(f"{config.output}: a network with its calibration is written as .keras.")
    check_output_file(config.output)
    if config.pairs < 2 or config.samples < 2:
        raise InputError(f"pairs and samples are 2 or more; got {config.pairs} and {config.samples}.")
    check_coverage(config.coverage, config.pairs)


def _known_pairs(network: RegistrationNetwork, config: CalibrateConfig) -> tuple[Iterable[KnownPair], str]:
    """(pairs, description of their images)."""
    if not config.data_dir:
        channels = network.settings["channels"]
        if set(channels) != {1}:
            raise InputError(f"Phantoms have one channel, this network takes {max(channels)}; give --data_dir.")
        sizes = network.settings["image_shape"]
        shape = PHANTOM_SHAPES[len(sizes)] if None in sizes else sizes
        spacing_mm = GridSettings.recorded(network.metadata).spacing_mm or ()
        pairs = phantom_pairs(shape, config.pairs, config.seed, spacing_mm=spacing_mm)
        return pairs, f"phantoms of {' x '.join(map(str, shape))} voxels"
    suffixes = {"image_suffix": config.image_suffix, "labels_suffix": config.labels_suffix}
    scans = scans_to_calibrate(config.data_dir, config.pairs, **suffixes)
    logging.info("Reading %d scans.", len(scans))
    if len(scans) < config.pairs:
        logging.warning(
            "%d pairs are made of %d scans: how errors differ between people is measured on %d only.",
            config.pairs, len(scans), len(scans),
        )  # fmt: skip
    prepared = prepared_scans(scans, network)
    spacings_mm = [scan.spacing_mm for scan in prepared]
    pairs = deformed_pairs([scan.image for scan in prepared], config.pairs, config.seed, spacings_mm=spacings_mm)
    return pairs, f"{len(scans)} scans, each deformed twice"
