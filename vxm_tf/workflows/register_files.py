"""One pair in files, as they come: read, registered, and everything written that was asked for."""

import functools
import json
import time
from pathlib import Path

import numpy as np
from absl import logging

from vxm_tf.files.atomic import check_output_dir
from vxm_tf.files.distinct_paths import check_distinct
from vxm_tf.files.errors import VolumeError
from vxm_tf.files.html_file import check_html_output
from vxm_tf.files.json_file import check_json_output
from vxm_tf.files.volumes import check_ids, read_image
from vxm_tf.files.writing import check_output, write_volume
from vxm_tf.metrics import foreground
from vxm_tf.registration.align import register_images
from vxm_tf.workflows.output_names import beside, with_bids_names
from vxm_tf.workflows.certify_transform import write_certificate
from vxm_tf.workflows.register_config import AFFINES, NO_MODEL, SIMILARITIES, check_choices
from vxm_tf.trust.gate.verdict import log_verdict, write_verdict
from vxm_tf.models.saved import input_settings, load_model
from vxm_tf.registration.result import RegistrationResult
from vxm_tf.trust.uncertainty.pair_spread import is_calibrated
from vxm_tf.workflows.sidecar import write_sidecar
from vxm_tf.workflows.brain_mask import brain_mask
from vxm_tf.spatial import read_spatial_labels
from vxm_tf.spatial.headers import check_axial
from vxm_tf.spatial.image import read_together
from vxm_tf.spatial.points import CONVENTIONS, read_points, write_points
from vxm_tf.spatial.transform_files import check_transform_output, write_transform

VOLUMES = ("moved", "fixed_moved", "displacement", "jacobian", "moved_labels", "uncertainty", "error_bound")
TRANSFORMS = ("transform", "inverse_transform")
WRITTEN = (*VOLUMES, *TRANSFORMS, "moved_points")
READ = ("moving", "fixed", "model", "labels", "points", "moving_mask", "fixed_mask")
CHOICES = {"affine": AFFINES, "similarity": SIMILARITIES, "points_convention": CONVENTIONS}


def register_files(config) -> RegistrationResult:
    """Register two files and write what was asked for.

    Args:
        config: a `RegisterConfig`.

    Returns:
        The `RegistrationResult`.

    Raises:
        VolumeError: input that cannot be used, images that do not overlap, or a place that cannot be written.
        ValueError: a setting that does not exist.
    """
    start = time.perf_counter()
    _check(config)
    if config.output_dir:
        check_output_dir(config.output_dir)
        config = with_bids_names(config)
    _check_outputs(config)
    network = None if config.model == NO_MODEL else load_model(config.model)
    _check_calibrated(config, network)
    moving, fixed = read_pair(config, network)
    _check_outputs(config, fixed.grid.ndim)
    for path, image in ((config.transform, fixed), (config.inverse_transform, moving)):
        if path:
            check_axial(image.volume, path)
    labels = read_spatial_labels(config.labels, moving, "segmentation") if config.labels else None
    if labels and (config.uncertainty or config.error_bound or config.samples):
        check_ids(config.labels, labels.array)
    points = read_points(config.points, config.points_convention, ndim=moving.grid.ndim) if config.points else None
    masks = [
        brain_mask(image, mask, config.strip_command)
        for image, mask in ((moving, config.moving_mask), (fixed, config.fixed_mask))
    ]
    settings = {"masks": masks, "labels": None if labels is None else labels.array}
    result = register_images(moving, fixed, network, config, **settings)
    _write(config, result, labels, points, network)
    if config.certify:
        write_certificate(config, result, WRITTEN)
    if config.gate:
        log_verdict(result.verdict)
        write_verdict(config.gate, result.verdict)
    summary = {**summarise(config, result), "total_seconds": round(time.perf_counter() - start, 3)}
    if config.output_dir:
        write_sidecar(config, result, summary)
    logging.info("Registered %s onto %s: %s", config.moving, config.fixed, json.dumps(summary))
    return result


def read_pair(config, network=None):
    """(moving, fixed), see `read_together`."""
    multichannel = bool(network) and input_settings(network)["multichannel"]
    read = functools.partial(read_image, multichannel=multichannel)
    return read_together((config.moving, read), (config.fixed, read))


def summarise(config, result) -> dict:
    """Seconds and measures of a registration, plain values."""
    displacement = result.transform.displacement_mm
    summary = {f"{name}_seconds": round(seconds, 3) for name, seconds in result.seconds.items()}
    summary |= {"refine_steps": result.steps, **result.measures()}
    summary["mean_displacement_mm"] = round(float(np.linalg.norm(displacement, axis=-1).mean()), 4)
    if result.uncertainty:
        summary["uncertainty"] = result.uncertainty.summary(foreground(result.working_images[1].mean(axis=-1)))
    if result.structures:
        summary["volumes_mm3"] = {str(label): vars(interval) for label, interval in result.structures.items()}
    if "inversion" in vars(result):
        inversion = result.inversion
        summary["inverse_mean_residual_mm"] = inversion.mean_residual_mm
        summary["inverse_max_residual_mm"] = inversion.max_residual_mm
    if result.repair:
        summary["repaired_voxels"] = result.repair.displacement.changed_voxels
        if "inversion" in vars(result):
            summary["inverse_repaired_voxels"] = result.inverse_repair.changed_voxels
    return summary


def _check(config):
    for first, second in (("labels", "moved_labels"), ("points", "moved_points")):
        given = bool(getattr(config, first)), bool(getattr(config, second))
        if given[0] != given[1] and not (config.output_dir and given[0]):
            raise VolumeError(f"--{first} and --{second} belong together: what to move, and where to write it.")
    check_choices(config, CHOICES)
    if config.samples < 0 or config.samples == 1:
        raise ValueError(f"samples is 2 or more, or 0; got {config.samples}.")
    if config.refine < -1 or config.refine_seconds < 0 or config.spacing_mm < 0:
        raise ValueError("refine is -1 or a number of steps; refine_seconds and spacing_mm are 0 or more.")


def _check_calibrated(config, network):
    if not config.error_bound:
        return
    if config.refine > 0:
        raise VolumeError("--error_bound is what the network alone was calibrated for; leave --refine out.")
    if network is None:
        raise VolumeError("--error_bound is for a network that vxm-calibrate has measured; name it with --model.")
    if not is_calibrated(network):
        raise VolumeError(
            f"--error_bound: {config.model} does not know how large its errors are. Calibrate it: vxm-calibrate "
            f"--model {config.model} --output CALIBRATED.keras, then --model CALIBRATED.keras."
        )


def _check_outputs(config, ndim=3):
    outputs = {f"--{name}": getattr(config, name) for name in (*WRITTEN, "certify", "gate", "report")}
    if config.output_dir:
        outputs |= {f"the JSON file of --{name}": beside(getattr(config, name), ".json") for name in TRANSFORMS}
        outputs["the picture of --transform"] = beside(config.transform, ".png")
    check_distinct(outputs, {f"--{name}": getattr(config, name) for name in READ})
    if config.moved_points:
        check_output_dir(Path(config.moved_points).parent)
    for name in VOLUMES:
        if getattr(config, name):
            check_output(getattr(config, name))
    for name in TRANSFORMS:
        if getattr(config, name):
            affine = config.model == NO_MODEL and config.refine == 0
            check_transform_output(getattr(config, name), config.transform_format or None, ndim, affine=affine)
    for path in (config.certify, config.gate):
        if path:
            check_json_output(path)
    if config.report:
        check_html_output(config.report)


def _write(config, result, labels, points, network):
    multichannel = bool(network) and input_settings(network)["multichannel"]

    def image(array):
        return array if multichannel else array[..., 0]

    moving, fixed = (image.header() for image in (result.moving, result.fixed))
    makers = {
        "moved": lambda: (image(result.moved), fixed),
        "displacement": lambda: (result.displacement, fixed),
        "jacobian": lambda: (result.jacobian().astype("float32"), fixed),
        "moved_labels": lambda: (result.moved_labels(labels.array), fixed),
        "fixed_moved": lambda: (image(result.fixed_moved()), moving),
        "uncertainty": lambda: (result.displacement_std_mm(), fixed),
        "error_bound": lambda: (result.error_bound_mm(), fixed),
    }
    for name, make in makers.items():
        if getattr(config, name):
            write_volume(getattr(config, name), *make())
    kind = config.transform_format or None
    grids = result.fixed.grid, result.moving.grid
    if config.transform:
        write_transform(config.transform, result.chain, grids[0], format=kind, moving_grid=grids[1])
    if config.inverse_transform:
        inverse = result.inverse
        write_transform(config.inverse_transform, inverse, grids[1], format=kind, moving_grid=grids[0])
    if points is not None:
        points_mm, table = points
        write_points(config.moved_points, result.moved_points(points_mm), config.points_convention, like=table)
