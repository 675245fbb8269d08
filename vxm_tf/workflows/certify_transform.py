"""Certification of a transform in a file: folds of it and of its inverse, and how well each undoes the other."""

import dataclasses
from typing import Any

from vxm_tf.configuration import described, option
from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import check_json_output, write_json
from vxm_tf.spatial import DisplacementField, dense
from vxm_tf.spatial.chain_files import read_chain
from vxm_tf.spatial.transform_files import FORMATS, check_belongs
from vxm_tf.spatial.transforms import flattened
from vxm_tf.trust.folds.certificate import PairCertificate, certify_transform, undone
from vxm_tf.workflows.certificate_record import both_directions
from vxm_tf.workflows.provenance import file_records, software


@described
@dataclasses.dataclass(frozen=True)
class CertifyConfig:
    """Settings of `certify_file`; `vxm-certify` has one flag for each."""

    transform: str = option("", "File of the transform that carries images from moving to fixed.")
    inverse_transform: str = option(
        "", "File of the transform from fixed to moving, to see how well both undo each other."
    )
    transform_format: str = option(
        "", "Format of both files; empty chooses by extension and content.", choices=("", *FORMATS)
    )
    fixed: str = option(
        "", "Fixed image, on whose grid the transform is certified; empty for the transform's own grid."
    )
    moving: str = option(
        "", "Moving image, on whose grid the inverse is certified; empty for the inverse transform's own grid."
    )
    output: str = option("", "Output certificate (.json); empty only logs it.")


def certify_file(config: CertifyConfig) -> dict[str, Any]:
    """The certificate of a transform in a file, and of its inverse if that is given.

    Returns:
        The certificate as plain values, as it is written.

    Raises:
        InputError: input that cannot be used, or a place that cannot be written.
    """
    if config.output:
        check_json_output(config.output)
    transform = _read_field(config.transform, config.fixed, config.moving, config.transform_format, "fixed")
    inverse = None
    if config.inverse_transform:
        inverse = _read_field(config.inverse_transform, config.moving, config.fixed, config.transform_format, "moving")
    certificate = both_directions(_certified(transform, inverse), transform.grid, inverse.grid if inverse else None)
    inputs = file_records(config, ("transform", "inverse_transform", "fixed", "moving"))
    record = {**certificate, "inputs": inputs, "software": software()}
    if config.output:
        write_json(config.output, record)
    return record


def _certified(transform: DisplacementField, inverse: DisplacementField | None) -> PairCertificate:
    forward = certify_transform(transform)
    if inverse is None:
        return PairCertificate(forward)
    forward = undone(forward, transform, inverse, inverse.grid)
    return PairCertificate(forward, certify_transform(inverse, transform, transform.grid))


def _read_field(path: str, reference: str, other: str, kind: str, name: str) -> DisplacementField:
    """A transform in a file as a field on the grid of the reference image, or on its own."""
    transform, image, _ = read_chain((path,), fixed=reference, moving=other, format=kind)
    if image:
        check_belongs(transform, image.grid, path)
        return dense(transform, image.grid)
    first = flattened(transform)[0]
    if not isinstance(first, DisplacementField):
        raise InputError(f"{path}: has no grid of its own; give --{name}, the image on whose grid it is meant.")
    return dense(transform, first.grid)
