"""One pair in files, on one grid."""

import dataclasses
import json
import time

import numpy as np
from absl import logging

from vxm_tf.data import normalize, read_image, read_labels, write_volume
from vxm_tf.files.volumes import VolumeError, check_output
from vxm_tf.metrics import fold_fraction
from vxm_tf.registration.model_file import input_settings, load_model
from vxm_tf.registration.pair import register_pair, warp_array, warp_labels


@dataclasses.dataclass(frozen=True)
class RegisterConfig:
    """Settings of `register_files`; `register.py` has one flag for each.

    Attributes:
        moving: image to move.
        fixed: image to align it with, on a grid of the same shape and affine.
        model: `.keras` file of the network.
        moved: where the moved image goes, in the moving image's own intensities.
        displacement: where the displacement goes, `[*spatial, ndim]` in voxels of the fixed grid.
        labels: segmentation of the moving image.
        moved_labels: where it goes, moved by nearest neighbour.
    """

    moving: str = ""
    fixed: str = ""
    model: str = ""
    moved: str = ""
    displacement: str = ""
    labels: str = ""
    moved_labels: str = ""


def register_files(config):
    """Register two files and write what was asked for.

    Returns:
        The `Registration`.

    Raises:
        VolumeError: input that cannot be used, images that do not share a grid, or a place that cannot
            be written.
    """
    start = time.perf_counter()
    if bool(config.labels) != bool(config.moved_labels):
        raise VolumeError("--labels and --moved_labels belong together: what to move, and where to write it.")
    for output in filter(None, (config.moved, config.displacement, config.moved_labels)):
        check_output(output)
    network = load_model(config.model)
    settings = input_settings(network)
    moving, fixed = (read_image(path, multichannel=settings["multichannel"]) for path in (config.moving, config.fixed))
    check_same_grid(moving, fixed)
    labels = read_labels(config.labels) if config.labels else None
    if labels is not None and labels.array.shape != moving.array.shape[:-1]:
        raise VolumeError(
            f"{labels.path}: the segmentation has shape {labels.array.shape}, the moving image "
            f"{moving.array.shape[:-1]}."
        )
    if labels is not None:
        _check_same_affine(labels, moving)
    images = [normalize(volume.array, settings["normalization"]) for volume in (moving, fixed)]
    result = register_pair(network.for_shape(images[0].shape[:-1]), *images)
    if config.moved:
        moved = warp_array(moving.array, result.displacement)
        write_volume(config.moved, moved if settings["multichannel"] else moved[..., 0], fixed)
    if config.displacement:
        write_volume(config.displacement, result.displacement, fixed)
    if labels is not None:
        write_volume(config.moved_labels, warp_labels(labels.array, result.displacement), fixed)
    summary = {
        "prediction_seconds": round(result.seconds, 3),
        "total_seconds": round(time.perf_counter() - start, 3),
        "mean_displacement_voxels": round(float(np.linalg.norm(result.displacement, axis=-1).mean()), 4),
        "fold_fraction": fold_fraction(result.displacement),
    }
    logging.info("Registered %s onto %s: %s", config.moving, config.fixed, json.dumps(summary))
    return result


def check_same_grid(moving, fixed):
    """Raise `VolumeError` unless two volumes have one shape and, where they know them, one affine."""
    if moving.array.shape[:-1] != fixed.array.shape[:-1]:
        raise VolumeError(
            f"{moving.path} has shape {moving.array.shape[:-1]} and {fixed.path} {fixed.array.shape[:-1]}: the two "
            "must share one grid. Resample one onto the other first."
        )
    _check_same_affine(moving, fixed)


def _check_same_affine(first, second):
    if first.source is None or second.source is None:
        return
    difference = float(np.abs(first.source.affine - second.source.affine).max())
    if difference > 1e-2:
        raise VolumeError(
            f"{first.path} and {second.path} have the same shape but different affines (by up to {difference:.3g} mm): "
            "their voxels do not lie at the same places. Resample one onto the other first."
        )
