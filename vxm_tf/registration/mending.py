"""Repairing a whole registration where it folds, so that its transforms, images and measures agree."""

import dataclasses
import json
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.registration.result import RegistrationResult
from vxm_tf.spatial import AffineTransform, DisplacementField, Grid, dense
from vxm_tf.spatial.transforms import voxel_displacement
from vxm_tf.trust.folds.certificate import Certificate, certify_transform
from vxm_tf.trust.folds.repair import TransformRepair, repair_transform

Finer: TypeAlias = Iterable[tuple[int, RegistrationResult]]
"""Pairs of a number of integration steps and the registration integrated with it, computed when they are read."""


def mended(result: RegistrationResult, finer: Finer = ()) -> RegistrationResult:
    """A registration whose transform on the fixed image's grid passes `certify`.

    A transform that passes is kept, and only the record of its repair is added. One that folds is integrated again
    from its velocity in more steps; if it still folds, or is not an integral, `repair` changes it towards the affine
    part. The inverse is computed again from the repaired transform and is repaired too.

    Args:
        result: registration to repair.
        finer: the registration integrated in more steps, see `Finer`.
    """
    before = certify_transform(result.transform)
    if before.passes:
        return dataclasses.replace(result, repair=TransformRepair())
    logging.info("The transform does not pass; repairing it. It is %s.", before.summary)
    steps, integrated = _integrated_finer(result, before, finer)
    change = np.linalg.norm(integrated.transform.displacement_mm - result.transform.displacement_mm, axis=-1)
    mended_field, report = repair_transform(integrated.transform, integrated.affine)
    if report.changed_voxels:
        integrated = _with_transform(integrated, mended_field)
    record = TransformRepair(steps, float(change.mean()), float(change.max()), report)
    logging.info("Repaired: %s", json.dumps(dataclasses.asdict(record)))
    return dataclasses.replace(integrated, repair=record)


def check_affine(affine: AffineTransform, *grids: Grid) -> None:
    """Raise `InputError` for an affine part with which no deformation can pass `certify`.

    Args:
        affine: affine part, from fixed to moving space.
        grids: grids of the fixed and of the moving image.
    """
    for transform, grid in zip((affine, affine.inverse()), grids):
        small = Grid((2,) * grid.ndim, grid.affine)
        smallest = certify_transform(dense(transform, small)).smallest_determinant
        if not smallest > 0.0:
            raise InputError(
                "--repair mends the deformation, but the affine part mirrors space or turns an axis by a quarter or "
                f"more (smallest determinant {smallest:.3g}), so nothing can pass that goes through it. Check the "
                "headers, or leave --repair out."
            )


def _integrated_finer(
    result: RegistrationResult, before: Certificate, finer: Finer
) -> tuple[int | None, RegistrationResult]:
    """(steps, registration) of the first finer one that passes `certify`.

    If none does, of the last that halved the folding volume; if there is none, None and the given registration.
    """
    chosen: tuple[int | None, RegistrationResult] = (None, result)
    volume = before.non_diffeomorphic_volume
    for steps, other in finer:
        certificate = certify_transform(other.transform)
        if certificate.passes:
            return steps, other
        # More steps change all of the transform a little, which only a clear gain justifies.
        if certificate.non_diffeomorphic_volume < 0.5 * volume:
            chosen, volume = (steps, other), certificate.non_diffeomorphic_volume
    return chosen


def _with_transform(result: RegistrationResult, transform: DisplacementField) -> RegistrationResult:
    """The registration with another transform, a field on the fixed grid; its deformable part is changed to match."""
    changed = np.any(transform.displacement_mm != result.transform.displacement_mm, axis=-1)
    points = transform.grid.points()[changed]
    deformation = result.field.displacement_mm.copy()
    deformation[changed] = result.affine.inverse().map(points + transform.displacement_mm[changed]) - points
    field = DisplacementField(transform.grid, deformation)
    working = voxel_displacement(dense(field, result.working_grid))
    return dataclasses.replace(result, field=field, working_displacement=working)
