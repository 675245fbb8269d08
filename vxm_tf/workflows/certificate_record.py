"""The JSON record of a certificate: criteria, both directions and every file's hash."""

import dataclasses
from typing import Any

import numpy as np
from absl import logging

from vxm_tf.models.saved import model_path
from vxm_tf.registration import RegistrationResult, RegistrationSettings
from vxm_tf.spatial import Grid
from vxm_tf.trust.folds.certificate import Certificate, PairCertificate
from vxm_tf.workflows.provenance import file_record, file_records, hash_of_model, software
from vxm_tf.workflows.register_config import NO_MODEL, RegisterConfig

CRITERION = (
    "Passes if it meets two criteria. Tetrahedral: at every voxel all Jacobian determinants of forward and backward "
    "differences (+++ to ---) and of both middle tetrahedra (1*, 2*) are above 0: Liu et al., IJCV 2024, arXiv "
    "2212.06060. Trilinear: interpolated linearly along each axis, the displacement has a Jacobian determinant that is "
    "proven to be above 0 everywhere between the voxels, by its Bernstein coefficients in each cube of 8 voxels. "
    "Determinants are 1 where nothing is deformed. Central differences (000) decide nothing."
)
# Short names of numbers of the tetrahedral criterion.
TETRAHEDRAL = ("failing_voxels", "smallest_determinant", "largest_determinant")
INPUTS = ("moving", "fixed", "moving_mask", "fixed_mask", "labels", "points")


def certificate_of(
    config: RegisterConfig, settings: RegistrationSettings, result: RegistrationResult, outputs: tuple[str, ...]
) -> dict[str, Any]:
    """The certificate of a registration, with the hashes of the files that it read and wrote.

    Args:
        config: files of the registration.
        settings: settings of the registration.
        result: result of the registration.
        outputs: names of the fields of `config` that hold the path of a written file.

    Returns:
        Plain values, as they are written.
    """
    record = {
        **both_directions(result.certificate(), result.fixed.grid, result.moving.grid),
        "model": _model_record(config.model),
        "inputs": file_records(config, INPUTS),
        "outputs": file_records(config, outputs),
        "settings": settings_record(config, settings),
        "software": software(),
    }
    if config.gate:
        record["verdict"] = dataclasses.asdict(result.verdict())
    if result.repair:
        repairs = {"transform": result.repair, "inverse_transform": result.inverse_repair}
        record["repair"] = {name: repair and dataclasses.asdict(repair) for name, repair in repairs.items()}
    return record


def settings_record(config: RegisterConfig, settings: RegistrationSettings) -> dict[str, Any]:
    """Files and settings of a registration in one flat record; a map's path stands for whether it was computed."""
    return {**dataclasses.asdict(settings), **dataclasses.asdict(config)}


def both_directions(certificate: PairCertificate, grid: Grid, inverse_grid: Grid | None = None) -> dict[str, Any]:
    """Verdict, criterion and measures of both directions as plain values; each direction is also logged.

    Args:
        certificate: certificate of the transform and, if there is one, of its inverse.
        grid: grid on which the transform was certified.
        inverse_grid: grid on which the inverse was certified.
    """
    directions = {"transform": (certificate.transform, grid)}
    if certificate.inverse_transform is not None and inverse_grid is not None:
        directions["inverse_transform"] = (certificate.inverse_transform, inverse_grid)
    for name, (each, _) in directions.items():
        _log(name, each)
    described = {name: _described(*each) for name, each in directions.items()}
    return {"passes": certificate.passes, "criterion": CRITERION, **described}


def _described(certificate: Certificate, grid: Grid) -> dict[str, Any]:
    affine = np.round(grid.affine, 6).tolist()
    return {
        **dataclasses.asdict(certificate),
        **{name: getattr(certificate, name) for name in TETRAHEDRAL},
        "orientation": grid.orientation,
        "grid_affine_ras_mm": affine,
    }


def _log(name: str, certificate: Certificate) -> None:
    consistency = certificate.inverse_consistency
    undone = f"; undone within {consistency.max_mm:.2g} mm, {consistency.mean_mm:.2g} on average" if consistency else ""
    verdict = "passes" if certificate.passes else "FAILS"
    logging.info("Certificate of the %s: %s (%s)%s.", name.replace("_", " "), verdict, certificate.summary, undone)


def _model_record(model: str) -> dict | None:
    if model == NO_MODEL:
        return None
    digest = hash_of_model(model)
    return file_record(str(model_path(model)) if digest else model, digest)
