"""The output files of a registration: checked before any work, and written at its end."""

import json
import time
from typing import Any

import numpy as np
from absl import logging

from vxm_tf.data import normalize
from vxm_tf.files.distinct_paths import check_distinct
from vxm_tf.files.html_file import check_html_output
from vxm_tf.files.json_file import check_json_output, write_json
from vxm_tf.files.writing import check_output, write_volume
from vxm_tf.registration import RegistrationResult, RegistrationSettings
from vxm_tf.report import registration_panel, write_picture, write_registration_report
from vxm_tf.spatial import dense, reoriented_grid
from vxm_tf.spatial.background import moved_image
from vxm_tf.spatial.points import check_points_output, write_points
from vxm_tf.spatial.transform_files import check_transform_output, write_transform
from vxm_tf.spatial.transforms import voxel_displacement
from vxm_tf.trust.gate.verdict import log_verdict, write_verdict
from vxm_tf.trust.uncertainty.calibrated_range import content
from vxm_tf.workflows.certificate_record import certificate_of
from vxm_tf.workflows.output_names import beside
from vxm_tf.workflows.register_config import NO_MODEL, RegisterConfig
from vxm_tf.workflows.registration_inputs import MovedAlong
from vxm_tf.workflows.sidecar import write_sidecars

VOLUMES = ("moved", "fixed_moved", "displacement", "jacobian", "moved_labels", "uncertainty", "error_bound")
TRANSFORMS = ("transform", "inverse_transform")
WRITTEN = (*VOLUMES, *TRANSFORMS, "moved_points")
READ = ("moving", "fixed", "model", "labels", "points", "moving_mask", "fixed_mask")
# Outputs that need the transform from moving to fixed space inverted.
INVERTED = ("fixed_moved", "inverse_transform", "moved_points", "certify")
# The panel shows rows of a 2-D image downwards, and turns slices of a 3-D one itself.
DRAWN = {2: "PR", 3: "RAS"}


def check_outputs(config: RegisterConfig, settings: RegistrationSettings, ndim: int = 3) -> None:
    """Raise `InputError` now if an output could not be written: before long work, not after it.

    Args:
        config: files of the registration, with every output named.
        settings: settings of the registration.
        ndim: number of the images' axes, where it is known already.
    """
    outputs = {f"--{name}": getattr(config, name) for name in (*WRITTEN, "certify", "gate", "report")}
    if config.output_dir:
        outputs |= {f"the JSON file of --{name}": beside(getattr(config, name), ".json") for name in TRANSFORMS}
        outputs["the picture of --transform"] = beside(config.transform, ".png")
    check_distinct(outputs, {f"--{name}": getattr(config, name) for name in READ})
    if config.moved_points:
        check_points_output(config.moved_points, config.points)
    for name in VOLUMES:
        if getattr(config, name):
            check_output(getattr(config, name))
    for name in TRANSFORMS:
        if getattr(config, name):
            affine = config.model == NO_MODEL and settings.refine == 0
            check_transform_output(getattr(config, name), config.transform_format or None, ndim, affine=affine)
    for path in (config.certify, config.gate):
        if path:
            check_json_output(path)
    if config.report:
        check_html_output(config.report)


def write_outputs(
    config: RegisterConfig,
    settings: RegistrationSettings,
    result: RegistrationResult,
    along: MovedAlong,
    *,
    multichannel: bool,
    start: float,
) -> None:
    """Write every output that a configuration names, the summaries last.

    Args:
        config: files of the registration; with an `output_dir`, every output is named, see `with_bids_names`.
        settings: settings of the registration.
        result: result of the registration.
        along: labels and landmarks that move with the image.
        multichannel: whether the moved images keep their axis of channels.
        start: `time.perf_counter()` when the work began.
    """
    _write_volumes(config, result, along, multichannel)
    _write_transforms(config, result)
    if along.points_mm is not None and config.moved_points:
        moved = result.points(along.points_mm)
        write_points(config.moved_points, moved, config.points_convention, like=along.table)
    certificate = certificate_of(config, settings, result, WRITTEN) if config.certify or config.report else {}
    if config.certify:
        write_json(config.certify, certificate)
    if config.gate:
        log_verdict(result.verdict())
        write_verdict(config.gate, result.verdict())
    summary = {**_summary(config, result), "total_seconds": round(time.perf_counter() - start, 3)}
    if config.output_dir:
        write_sidecars(config, settings, result, summary)
        _draw_panel(beside(config.transform, ".png"), result)
    if config.report:
        write_registration_report(config.report, result, certificate)
        logging.info("Report: %s", config.report)
    logging.info("Registered %s onto %s: %s", config.moving, config.fixed, json.dumps(summary))


def _write_volumes(config: RegisterConfig, result: RegistrationResult, along: MovedAlong, multichannel: bool) -> None:
    def image(array: np.ndarray) -> np.ndarray:
        return array if multichannel else array[..., 0]

    moving, fixed = (image.header() for image in (result.moving, result.fixed))
    makers = {
        "moved": lambda: (image(result.moved), fixed),
        "displacement": lambda: (result.displacement, fixed),
        "jacobian": lambda: (result.jacobian.astype("float32"), fixed),
        "fixed_moved": lambda: (image(result.fixed_moved), moving),
        "uncertainty": lambda: (result.displacement_std_mm(), fixed),
        "error_bound": lambda: (result.error_bound_mm(), fixed),
    }
    labels = along.labels
    if labels is not None:
        makers["moved_labels"] = lambda: (result.labels(labels), fixed)
    for name, make in makers.items():
        if getattr(config, name):
            write_volume(getattr(config, name), *make())


def _write_transforms(config: RegisterConfig, result: RegistrationResult) -> None:
    kind = config.transform_format or None
    fixed_grid, moving_grid = result.fixed.grid, result.moving.grid
    if config.transform:
        write_transform(config.transform, result.chain, fixed_grid, format=kind, moving_grid=moving_grid)
    if config.inverse_transform:
        write_transform(config.inverse_transform, result.inverse, moving_grid, format=kind, moving_grid=fixed_grid)


def _summary(config: RegisterConfig, result: RegistrationResult) -> dict[str, Any]:
    """Seconds and measures of a registration, plain values."""
    displacement = result.transform.displacement_mm
    summary: dict[str, Any] = {f"{name}_seconds": round(seconds, 3) for name, seconds in result.seconds.items()}
    summary |= {"refine_steps": result.steps, **result.measures()}
    summary["mean_displacement_mm"] = round(float(np.linalg.norm(displacement, axis=-1).mean()), 4)
    if result.uncertainty:
        summary["uncertainty"] = result.uncertainty.summary(content(result.working_images[1]))
    inverted = any(getattr(config, name) for name in INVERTED) and not result.is_affine
    if inverted:
        summary["inverse_mean_residual_mm"] = result.inversion.mean_residual_mm
        summary["inverse_max_residual_mm"] = result.inversion.max_residual_mm
    if result.repair:
        summary["repaired_voxels"] = result.repair.displacement.changed_voxels
        if inverted and result.inverse_repair:
            summary["inverse_repaired_voxels"] = result.inverse_repair.changed_voxels
    return summary


def _draw_panel(path: str, result: RegistrationResult) -> None:
    """The panel of a registration, in the usual orientation, at the voxel size of the working grid."""
    channels = result.fixed.array.shape[-1]
    if channels > 1:
        logging.info("%s shows the first of %d channels.", path, channels)
    grid = reoriented_grid(result.working_grid, DRAWN[result.fixed.grid.ndim])
    moving = moved_image(result.moving, grid, result.affine, result.fill_value)
    fixed = moved_image(result.fixed, grid)
    moved = moved_image(result.moving, grid, result.chain, result.fill_value)
    moving, fixed, moved = (normalize(image, "percentile") for image in (moving, fixed, moved))
    displacement = voxel_displacement(dense(result.field, grid))
    orientation = DRAWN[grid.ndim] if result.fixed.has_place else ""
    panel = registration_panel(moving, fixed, moved, displacement, orientation=orientation, spacing=grid.spacing_mm)
    write_picture(path, panel)
