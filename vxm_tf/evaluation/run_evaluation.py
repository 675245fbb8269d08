"""Evaluation of a network on a set of labelled pairs."""

import dataclasses
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from vxm_tf.configuration import check_alone
from vxm_tf.data import (
    Scan,
    ScanStore,
    image_pair,
    label_pair,
    ordered_pairs,
    read_list,
    read_pairs,
    split_scans,
    told_apart,
)
from vxm_tf.data.atlas import place_atlas
from vxm_tf.data.grid_checks import check_grids
from vxm_tf.data.scan_names import listed
from vxm_tf.data.warping import warp_labels
from vxm_tf.evaluation.config import EvaluateConfig
from vxm_tf.evaluation.scores import LabelScores, PairScores, deformation_scores, label_scores
from vxm_tf.evaluation.tables import write_tables
from vxm_tf.files.atomic import check_output_dir
from vxm_tf.files.checksum import sha256_of
from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import stem
from vxm_tf.files.html_file import check_html_output
from vxm_tf.files.units import spacing_of_axes
from vxm_tf.files.volumes import own_labels
from vxm_tf.metrics import labels_in
from vxm_tf.models import RegistrationNetwork, input_settings, load_model
from vxm_tf.models.saved import model_path
from vxm_tf.registration import register_pair
from vxm_tf.report import SetReport
from vxm_tf.spatial.grid import reoriented_grid
from vxm_tf.spatial.headers import says_same


def evaluate(config: EvaluateConfig) -> list[PairScores]:
    """Register the pairs, score them, and write the tables to `output_dir` and the page to `report`.

    Each pair has two scores: "affine" for the images as they are stored, and "network". Labels move by nearest
    neighbour.

    Args:
        config: settings of the evaluation.

    Returns:
        The scores, two for each pair.

    Raises:
        InputError: input that cannot be used, no pair to score, or an output folder that cannot be written.
    """
    check_output_dir(config.output_dir)
    if config.report:
        check_html_output(config.report)
    network = load_model(config.model)
    scans, pairs = find_pairs(config)
    settings = input_settings(network)
    logging.info("Reading %d scans.", len(scans))
    store = ScanStore(scans, settings["normalization"], multichannel=settings["multichannel"])
    if config.atlas:
        # The last scan, as `find_pairs` says.
        place_atlas(store, len(scans) - 1, store.named_grids[:-1])
    _turn_to_network(network, store)
    check_grids(store, pairs)
    # Read now: a bad segmentation is reported before the first pair, not after hours of them.
    for index in range(len(store)):
        store.labels(index)
    _count_labelled(scans, pairs)
    _warn_of_other_grids(network, store)
    network = network.for_shape(store.image_shape)
    # The first call builds the graph, which the seconds of the pairs leave out.
    register_pair(network, *image_pair(store, *pairs[0]))
    scores: list[PairScores] = []
    page = SetReport() if config.report else None
    for number, (moving, fixed) in enumerate(pairs, 1):
        rows = _score_pair(network, store, moving, fixed, config, page)
        scores += rows
        logging.info(
            "%d of %d: %s onto %s, Dice %.4f -> %.4f, folds %.4f %%, %.2f s",
            number, len(pairs), rows[0].moving, rows[0].fixed, rows[0].mean("dice"), rows[1].mean("dice"),
            100 * rows[1].fold_fraction, rows[1].seconds,
        )  # fmt: skip
    summary = {**dataclasses.asdict(config), **settings}
    table = write_tables(config.output_dir, scores, summary)
    if page:
        page.write(config.report, {**summary, "model_sha256": sha256_of(model_path(config.model))})
        logging.info("Report: %s", config.report)
    logging.info("Tables in %s\n%s", config.output_dir, table)
    return scores


def find_pairs(config: EvaluateConfig) -> tuple[list[Scan], list[tuple[int, int]]]:
    """The scans and the (moving, fixed) indices that a configuration names; an atlas is the last scan.

    Raises:
        InputError: a configuration that names no pair, or a damaged list.
    """
    limit = config.max_pairs or None
    if config.pairs:
        check_alone(config, "pairs", ("data_dir", "val_list", "atlas"))
        scans, pairs = read_pairs(config.pairs)
        return scans, pairs[:limit]
    check_alone(config, "val_list", ("data_dir",))
    if config.val_list:
        scans = read_list(config.val_list)
    else:
        scans = split_scans(
            config.data_dir,
            validation_fraction=config.validation_fraction,
            seed=config.seed,
            image_suffix=config.image_suffix,
            labels_suffix=config.labels_suffix,
        )[1]
    if config.atlas:
        atlas = Path(config.atlas)
        pairs = [(index, len(scans)) for index in range(len(scans))][:limit]
        scans = told_apart([*scans, Scan(stem(atlas), atlas, own_labels(atlas))])
    else:
        pairs = ordered_pairs(len(scans), limit, config.seed)
    if not pairs:
        raise InputError(f"{config.val_list or config.data_dir}: {len(scans)} scan(s) for validation make no pair.")
    return scans, pairs


def _count_labelled(scans: list[Scan], pairs: list[tuple[int, int]]) -> None:
    """Warn if not every pair has both segmentations: means of Dice and of distances leave the others out."""
    labelled = sum(scans[moving].labels is not None and scans[fixed].labels is not None for moving, fixed in pairs)
    without = [scan.name for scan in scans if scan.labels is None]
    if labelled < len(pairs):
        logging.warning(
            "%d of %d scans have no segmentation (%s): Dice and distances are those of %d of %d pairs.",
            len(without), len(scans), listed(without), labelled, len(pairs),
        )  # fmt: skip


def _score_pair(
    network: RegistrationNetwork,
    store: ScanStore,
    moving: int,
    fixed: int,
    config: EvaluateConfig,
    page: SetReport | None = None,
) -> list[PairScores]:
    moving_image, fixed_image = image_pair(store, moving, fixed)
    result = register_pair(network, moving_image, fixed_image)
    moving_name, fixed_name = store.scans[moving].name, store.scans[fixed].name
    before, after = _label_scores_of_pair(store, moving, fixed, result.displacement, config)
    affine = PairScores(moving_name, fixed_name, "affine", before)
    registered = PairScores(
        moving_name,
        fixed_name,
        "network",
        after,
        seconds=result.seconds,
        peak_memory_mib=peak_memory_mib(),
        **deformation_scores(result.displacement),
    )
    if page:
        page.add(affine, registered, moving_image, fixed_image, result)
    return [affine, registered]


def _label_scores_of_pair(
    store: ScanStore, moving: int, fixed: int, displacement: np.ndarray, config: EvaluateConfig
) -> tuple[LabelScores, LabelScores]:
    """Scores of the labels as they are stored, and as the displacement moves them; empty without segmentations."""
    maps = label_pair(store, moving, fixed)
    if maps is None:
        return {}, {}
    moving_labels, fixed_labels = maps
    ids = config.labels or labels_in(moving_labels, fixed_labels)
    spacing_mm = _spacing_mm(store, fixed, config, fixed_labels.ndim) if config.surface else None
    moved_labels = warp_labels(moving_labels, displacement)
    return (
        label_scores(moving_labels, fixed_labels, ids, spacing_mm),
        label_scores(moved_labels, fixed_labels, ids, spacing_mm),
    )


def _turn_to_network(network: RegistrationNetwork, store: ScanStore) -> None:
    """Bring scans whose files state their position into the orientation that the network was trained on."""
    orientation = (network.metadata.get("grid") or {}).get("orientation") or ""
    for index in range(len(store)):
        grid = store.grid(index)
        if grid is not None and len(orientation) == grid.ndim and grid.orientation != orientation:
            store.move(index, reoriented_grid(grid, orientation))


def _warn_of_other_grids(network: RegistrationNetwork, store: ScanStore) -> None:
    """Warn, once, of scans on another grid than that of the training scans: they are scored on their own voxels."""
    trained = network.metadata.get("grid") or {}
    for index, scan in enumerate(store.scans):
        grid, spacing = store.grid(index), store.spacing_mm(index)
        # Headers hold float32, whose further digits are noise.
        rounded = tuple(float(f"{size:.5g}") for size in spacing) if spacing else None
        stored: dict[str, Any] = {"spacing_mm": rounded, "orientation": grid.orientation if grid else None}
        both = [name for name in stored if stored[name] and trained.get(name)]
        if not all(says_same(stored[name], trained[name]) for name in both):
            logging.warning(
                "%s has %s, but the network was trained on %s: the scores hold for the scans as they are stored. "
                "register.py brings any scan onto the network's grid.",
                scan.image, _listed(stored, both), _listed(trained, both),
            )  # fmt: skip
            return


def _listed(grid: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {grid[name]}" for name in names)


def _spacing_mm(store: ScanStore, fixed: int, config: EvaluateConfig, ndim: int) -> tuple[float, ...]:
    spacing = config.spacing_mm or store.spacing_mm(fixed)
    if not spacing:
        logging.log_first_n(
            logging.WARNING,
            "%s holds no voxel size: distances are given for 1 mm. Set --spacing_mm.",
            1, store.scans[fixed].image,
        )  # fmt: skip
        spacing = (1.0,)
    return spacing_of_axes(spacing, ndim)[:ndim]


def peak_memory_mib() -> float:
    """Highest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
