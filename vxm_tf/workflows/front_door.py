"""Registering two scans in one call."""

import dataclasses
import os
import time
from typing import Any

from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork, load_model
from vxm_tf.models.saved import SHIPPED
from vxm_tf.registration import RegistrationSettings, register_images
from vxm_tf.spatial.image import IN_MEMORY
from vxm_tf.spatial.sources import LabelSource, Source, source_name
from vxm_tf.workflows.register_config import NO_MODEL, RegisterConfig
from vxm_tf.workflows.registered_pair import RegisteredPair
from vxm_tf.workflows.registration_inputs import check_calibrated, is_multichannel, read_inputs


def register(
    moving: Source,
    fixed: Source,
    model: str | os.PathLike | RegistrationNetwork = SHIPPED,
    *,
    moving_mask: LabelSource | None = None,
    fixed_mask: LabelSource | None = None,
    strip_command: str = "",
    **settings: Any,
) -> RegisteredPair:
    """Align a moving image with a fixed one, each of any orientation, spacing and shape.

    Args:
        moving: image to move: a path (NIfTI, MGZ, NPZ), a nibabel image, or a `SpatialImage`.
        fixed: image to align the moving image with, given in one of the same ways.
        model: "shipped" for the network that comes with the package, for heads and brains of any MR contrast; the path
            of a `.keras` file; a network that is loaded already; or "none" to register by optimisation alone.
        moving_mask: brain mask of the moving image, on its grid; only voxels inside it are aligned.
        fixed_mask: brain mask of the fixed image, on its grid; only voxels inside it are aligned.
        strip_command: command that writes a brain mask for a file without one, such as
            "mri_synthstrip -i {image} -m {mask}".
        **settings: fields of `vxm_tf.registration.RegistrationSettings`, such as `affine="register"`, `refine=75`,
            `similarity="mi"`, `repair=True`, `uncertainty=True`.

    Returns:
        The registration: `moved`, `transform`, `inverse`, `jacobian`, `labels(...)`, `points(...)`, `verdict()`,
        `certificate()`, and `save(folder)`, which writes all that `register.py --output_dir` writes.

    Raises:
        InputError: images, masks or a model that cannot be used, images that do not overlap, or a setting that does
            not exist.

    Example:

    >>> import numpy as np, vxm_tf
    >>> from vxm_tf.data.synthetic.phantoms import phantom
    >>> from vxm_tf.spatial import Grid, SpatialImage
    >>> images = [SpatialImage(phantom((48, 48), seed).image, Grid((48, 48), np.eye(3))) for seed in (1, 2)]
    >>> result = vxm_tf.register(*images, model="none", refine=5)
    >>> result.moved.shape, result.verdict().verdict in ("pass", "review", "fail")
    ((48, 48, 1), True)
    """
    start = time.perf_counter()
    computed = _settings(settings)
    network, name = _network(model)
    check_calibrated(network, computed, name)
    inputs = read_inputs(
        moving, fixed, network, moving_mask=moving_mask, fixed_mask=fixed_mask, strip_command=strip_command
    )
    result = register_images(inputs.moving, inputs.fixed, network, computed, masks=inputs.masks)
    config = RegisterConfig(
        moving=source_name(moving, "moving"),
        fixed=source_name(fixed, "fixed"),
        model=name,
        moving_mask="" if moving_mask is None else source_name(moving_mask, "moving mask"),
        fixed_mask="" if fixed_mask is None else source_name(fixed_mask, "fixed mask"),
        strip_command=strip_command,
    )
    # Without a network, only the images say how many channels they have.
    channels_kept = is_multichannel(network) or max(inputs.moving.array.shape[-1], inputs.fixed.array.shape[-1]) > 1
    return RegisteredPair.of(result, config, computed, channels_kept, time.perf_counter() - start)


def _settings(settings: dict[str, Any]) -> RegistrationSettings:
    known = [field.name for field in dataclasses.fields(RegistrationSettings)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(f"There is no setting {', '.join(unknown)}; the settings are {', '.join(known)}.")
    return RegistrationSettings(**settings)


def _network(model: str | os.PathLike | RegistrationNetwork) -> tuple[RegistrationNetwork | None, str]:
    """(network or None, name under which written files record it)."""
    if isinstance(model, RegistrationNetwork):
        return model, f"{model.name} {IN_MEMORY}"
    if not isinstance(model, str | os.PathLike):
        raise InputError(
            f'The model is "{SHIPPED}", "{NO_MODEL}", the path of a .keras file or a registration network of vxm_tf; '
            f"got {type(model).__name__}."
        )
    name = os.fspath(model)
    return (None if name == NO_MODEL else load_model(name)), name
