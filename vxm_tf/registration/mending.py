"""Mending a whole registration where it folds, so that everything that is written of it agrees."""

import dataclasses
import json

import numpy as np
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.registration.result import RegistrationResult
from vxm_tf.spatial import AffineTransform, DisplacementField, Grid, dense
from vxm_tf.spatial.transforms import voxel_displacement
from vxm_tf.trust.folds.certificate import Certificate, certify_transform
from vxm_tf.trust.folds.repair import TransformRepair, repair_transform


def mended(result: RegistrationResult, finer=()) -> RegistrationResult:
    """A registration whose transform, as it is written, passes `certify`; only told so if it passed before.

    Where it folds, its velocity is integrated in more steps; what folds then still, or is no integral, goes through
    `repair`, towards the affine part. The inverse is found anew from what comes out, and goes through `repair` too.

    Args:
        result: a `RegistrationResult`.
        finer: (number of integration steps, `RegistrationResult`) pairs, made when they are asked for.
    """
    before = certify_transform(result.transform)
    if before.passes:
        return dataclasses.replace(result, repair=TransformRepair())
    logging.info("The transform folds at %d voxels; repairing it.", before.failing_voxels)
    steps, integrated = _integrated_finer(result, before, finer)
    change = np.linalg.norm(integrated.transform.displacement_mm - result.transform.displacement_mm, axis=-1)
    mended_field, report = repair_transform(integrated.transform, integrated.affine)
    if report.changed_voxels:
        integrated = _with_transform(integrated, mended_field)
    done = TransformRepair(steps, float(change.mean()), float(change.max()), report)
    logging.info("Repaired: %s", json.dumps(dataclasses.asdict(done)))
    return dataclasses.replace(integrated, repair=done)


def check_affine(affine: AffineTransform, *grids: Grid):
    """Raise `InputError` for an affine part that no repair of the deformation could make pass.

    Args:
        affine: fixed to moving space.
        grids: of the fixed and of the moving image.
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


def _integrated_finer(result, before: Certificate, finer):
    """(integration steps or None, registration): the first that folds nowhere, or the last that halved the folding."""
    chosen, volume = (None, result), before.non_diffeomorphic_volume
    for steps, other in finer:
        found = certify_transform(other.transform)
        if found.passes:
            return steps, other
        # All of the transform changes a little: not for a little.
        if found.non_diffeomorphic_volume < 0.5 * volume:
            chosen, volume = (steps, other), found.non_diffeomorphic_volume
    return chosen


def _with_transform(result, transform):
    """A registration whose deformable part is such that the whole is `transform`, a field on the fixed grid."""
    changed = np.any(transform.displacement_mm != result.transform.displacement_mm, axis=-1)
    points = transform.grid.points()[changed]
    deformation = result.field.displacement_mm.copy()
    deformation[changed] = result.affine.inverse().map(points + transform.displacement_mm[changed]) - points
    field = DisplacementField(transform.grid, deformation)
    working = voxel_displacement(dense(field, result.working_grid))
    return dataclasses.replace(result, field=field, working_displacement=working)
