"""A registration made by hand: integer shifts between files, so that every number on a page is known."""

import dataclasses

import numpy as np
import pytest

from vxm_tf.data import normalize
from vxm_tf.registration import RegistrationResult, RegistrationSettings
from vxm_tf.report.contents import contents_of
from vxm_tf.spatial import DisplacementField, read_spatial_image
from vxm_tf.spatial.transforms import identity
from vxm_tf.workflows import RegisterConfig
from vxm_tf.workflows.certificate_record import certificate_of

SHAPE = (9, 10, 11)


@pytest.fixture
def registered(write_nibabel, rng):
    """registered(displacement, shape, names) -> (result, certificate) of a displacement in voxels of the fixed grid."""

    def make(displacement=(1.0, -2.0, 0.0), shape=SHAPE, names=("moving.nii.gz", "fixed.nii.gz"), arrays=None, **more):
        arrays = arrays or [rng.random(shape, "float32") for _ in names]
        paths = [write_nibabel(name, array) for name, array in zip(names, arrays, strict=True)]
        moving, fixed = map(read_spatial_image, paths)
        field = np.broadcast_to(np.asarray(displacement, "float32"), (*shape, len(shape)))
        linear = fixed.grid.affine[:-1, :-1].astype("float32")
        world = DisplacementField(fixed.grid, field @ linear.T)
        back = DisplacementField(fixed.grid, -field @ linear.T)
        result = RegistrationResult(
            moving=moving,
            fixed=fixed,
            affine=identity(len(shape)),
            field=world,
            working_grid=fixed.grid,
            working_displacement=field,
            inverse_start=back,
            seconds={"deformation": 1.5},
            steps=7,
            working_images=tuple(normalize(image.array, "percentile") for image in (moving, fixed)),
        )
        config = RegisterConfig(moving=str(paths[0]), fixed=str(paths[1]), model="none")
        for name, value in more.items():
            object.__setattr__(result, name, value)
        return result, certificate_of(config, RegistrationSettings(), result, ())

    return make


@pytest.fixture
def contents(registered):
    """contents(max_voxels, **changed fields) -> `ReportContents` of that registration."""

    def make(max_voxels=10**6, registration=None, **changed):
        return dataclasses.replace(contents_of(*(registration or registered()), max_voxels), **changed)

    return make
