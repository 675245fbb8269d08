"""The certificate of a registration, or of a transform in a file, as JSON."""

import dataclasses
import platform

import keras
import numpy as np
from absl import logging

from vxm_tf._version import __version__
from vxm_tf.files.checksum import sha256_of
from vxm_tf.files.errors import VolumeError
from vxm_tf.files.json_file import check_json_output, write_json
from vxm_tf.trust.folds.certificate import Certificate, certify_transform, undone
from vxm_tf.workflows.register_config import NO_MODEL
from vxm_tf.models.saved import model_path
from vxm_tf.spatial.chain_files import read_chain
from vxm_tf.spatial import DisplacementField, Grid, dense
from vxm_tf.spatial.transform_files import check_belongs
from vxm_tf.spatial.transforms import flattened

CRITERION = (
    "Passes if at every voxel all Jacobian determinants of forward and backward differences (+++ to ---) and of both "
    "middle tetrahedra (1*, 2*) are above 0: Liu et al., IJCV 2024, arXiv 2212.06060. They are 1 where nothing is "
    "deformed. Central differences (000) decide nothing."
)
INPUTS = ("moving", "fixed", "moving_mask", "fixed_mask", "labels", "points")


@dataclasses.dataclass(frozen=True)
class CertifyConfig:
    """Settings of `certify_file`; `vxm-certify` has one flag for each.

    Attributes:
        transform: file of the transform that carries images from moving to fixed.
        inverse_transform: of the one that carries images from fixed to moving, to see how well they undo each other.
        transform_format: of both; by extension and content if empty.
        fixed: the fixed image, on whose grid the transform is looked at; if empty, its own grid.
        moving: the moving image, on whose grid the inverse is; if empty, its own grid.
        output: where the certificate goes (.json); only logged if empty.
    """

    transform: str = ""
    inverse_transform: str = ""
    transform_format: str = ""
    fixed: str = ""
    moving: str = ""
    output: str = ""


def write_certificate(config, result, outputs) -> dict:
    """Write `config.certify`, after everything else is written: see `certificate_of`."""
    said = certificate_of(config, result, outputs)
    write_json(config.certify, said)
    return said


def certificate_of(config, result, outputs) -> dict:
    """The certificate of a registration.

    Args:
        config: a `RegisterConfig`.
        result: a `RegistrationResult`.
        outputs: names of the settings that say where something was written.

    Returns:
        Plain values, as they are written.
    """
    transform, inverse = result.transform, dense(result.inverse, result.moving.grid)
    said = {
        **_both_ways(transform, inverse, result.inverse, result.certificate),
        "model": None if config.model == NO_MODEL else _hashed(model_path(config.model)),
        "inputs": _files(config, INPUTS),
        "outputs": _files(config, outputs),
        "settings": dataclasses.asdict(config),
        "software": software(),
    }
    if config.gate:
        said["verdict"] = dataclasses.asdict(result.verdict)
    if result.repair:
        repairs = {"transform": result.repair, "inverse_transform": result.inverse_repair}
        said["repair"] = {name: repair and dataclasses.asdict(repair) for name, repair in repairs.items()}
    return said


def certify_file(config: CertifyConfig) -> dict:
    """The certificate of a transform in a file, and of its inverse if that is given.

    Returns:
        What is written: plain values.

    Raises:
        VolumeError: input that cannot be used, or a place that cannot be written.
    """
    if config.output:
        check_json_output(config.output)
    transform = _read_field(config.transform, config.fixed, config.moving, config.transform_format, "fixed")
    inverse = None
    if config.inverse_transform:
        inverse = _read_field(config.inverse_transform, config.moving, config.fixed, config.transform_format, "moving")
    inputs = _files(config, ("transform", "inverse_transform", "fixed", "moving"))
    said = {**_both_ways(transform, inverse), "inputs": inputs, "software": software()}
    if config.output:
        write_json(config.output, said)
    return said


def software() -> dict:
    """Versions that numbers may depend on."""
    return {
        "vxm_tf": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
    }


def _read_field(path, reference, other, kind, name):
    """A transform in a file as a field on the grid of the reference image, or on its own."""
    transform, image, _ = read_chain((path,), fixed=reference, moving=other, format=kind)
    if image:
        check_belongs(transform, image.grid, path)
        return dense(transform, image.grid)
    first = flattened(transform)[0]
    if not isinstance(first, DisplacementField):
        raise VolumeError(f"{path}: has no grid of its own; give --{name}, the image on whose grid it is meant.")
    return dense(transform, first.grid)


def _both_ways(transform: DisplacementField, inverse: DisplacementField | None, exact_inverse=None, known=None) -> dict:
    """The certificates of a transform (known perhaps) and its inverse, which may be known more exactly than a field."""
    certificate = known or certify_transform(transform)
    if inverse is not None:
        certificate = undone(certificate, transform, exact_inverse or inverse, inverse.grid)
    found = {"transform": (certificate, transform.grid)}
    if inverse is not None:
        found["inverse_transform"] = (certify_transform(inverse, transform, transform.grid), inverse.grid)
    for name, (certificate, _) in found.items():
        _log(name, certificate)
    passes = all(certificate.passes for certificate, _ in found.values())
    described = {name: _described(certificate, grid) for name, (certificate, grid) in found.items()}
    return {"passes": passes, "criterion": CRITERION, **described}


def _described(certificate: Certificate, grid: Grid):
    affine = np.round(grid.affine, 6).tolist()
    return {**dataclasses.asdict(certificate), "orientation": grid.orientation, "grid_affine_ras_mm": affine}


def _log(name, certificate):
    verdict = "folds nowhere" if certificate.passes else f"FOLDS at {certificate.failing_voxels} voxels"
    consistency = certificate.inverse_consistency
    undone = f"; undone within {consistency.max_mm:.2g} mm, {consistency.mean_mm:.2g} on average" if consistency else ""
    logging.info(
        "Certificate of the %s: %s, determinants %.3g to %.3g%s.",
        name.replace("_", " "), verdict, certificate.smallest_determinant, certificate.largest_determinant, undone,
    )  # fmt: skip


def _files(config, names):
    return {name: _hashed(getattr(config, name)) for name in names if getattr(config, name)}


def _hashed(path):
    return {"path": str(path), "sha256": sha256_of(path).removeprefix("sha256:")}
