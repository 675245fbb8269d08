"""Alignment of two images in world space, by way of the network's grid."""

import contextlib
import time
from collections.abc import Iterator

import numpy as np
from absl import logging

from vxm_tf.data import normalize
from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork
from vxm_tf.registration.affine.estimate import register_affine
from vxm_tf.registration.mending import check_affine, mended
from vxm_tf.registration.optimization.config import STEPS, RefineConfig
from vxm_tf.registration.optimization.refine import refine, starting_velocity
from vxm_tf.registration.optimization.reintegration import Integral, finer, network_integral, pair_integral
from vxm_tf.registration.overlap import check_overlap
from vxm_tf.registration.result import RegistrationResult
from vxm_tf.registration.settings import RegistrationSettings
from vxm_tf.registration.working_images import ImagePair, Masks, PreparedPair, prepared_pair
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, SpatialImage, dense
from vxm_tf.spatial.transforms import identity
from vxm_tf.trust.uncertainty.pair_spread import pair_uncertainty
from vxm_tf.trust.uncertainty.spread import SAMPLES, Uncertainty


def register_images(
    moving: SpatialImage,
    fixed: SpatialImage,
    network: RegistrationNetwork | None = None,
    settings: RegistrationSettings | None = None,
    *,
    masks: Masks = (None, None),
) -> RegistrationResult:
    """Align two images wherever they lie.

    Both are resampled once onto the network's grid, aligned there, and the displacement is brought back to the fixed
    image's own grid; images are always moved by one interpolation of the original.

    Args:
        moving: image to move, two or three axes, any orientation, spacing and shape.
        fixed: image to align the moving image with; it has as many axes.
        network: a `RegistrationNetwork`; None optimises from the identity.
        settings: settings of the registration; the defaults of `RegistrationSettings` if None.
        masks: masks of the moving and of the fixed image, bool `[*spatial]`; None for the whole image.

    Raises:
        InputError: images that the network does not take, or that do not overlap.
    """
    settings = settings or RegistrationSettings()
    _check_axes(network, moving, fixed)
    seconds: dict[str, float] = {}
    prepared = prepared_pair(moving, fixed, masks, network, settings)
    with _timed(seconds, "affine"):
        affine = _affine(moving, fixed, prepared, settings)
    check_overlap(moving, fixed, affine, warn_of_distance=settings.affine == "header")
    if settings.repair:
        check_affine(affine, fixed.grid, moving.grid)
    grid = prepared.working_grid()
    images = prepared.working_images(grid, affine)
    logging.info(
        "Working on %s voxels of %s mm, %s.",
        " x ".join(map(str, grid.shape)), " x ".join(f"{s:.3g}" for s in grid.spacing_mm), grid.orientation,
    )  # fmt: skip
    with _timed(seconds, "deformation"):
        displacement, inverse, steps, integral = _align(images, network, settings)
    uncertainty = None
    if settings.estimates_spread:
        with _timed(seconds, "uncertainty"):
            uncertainty = _uncertainty(images, displacement, network, settings, grid, steps > 0)

    def in_world_space(displacement: np.ndarray, inverse: np.ndarray | None) -> RegistrationResult:
        backwards = Chain((affine.inverse(), _field(grid, inverse if inverse is not None else -displacement)))
        return RegistrationResult(
            moving=moving,
            fixed=fixed,
            affine=affine,
            field=dense(_field(grid, displacement), fixed.grid),
            working_grid=grid,
            working_displacement=displacement,
            inverse_start=backwards,
            seconds=seconds,
            steps=steps,
            working_images=images,
            similarity=settings.similarity,
            uncertainty=uncertainty,
            fill_value=settings.fill_value,
        )

    result = in_world_space(displacement, inverse)
    if settings.repair:
        with _timed(seconds, "repair"):
            result = mended(result, ((number, in_world_space(*both)) for number, *both in finer(integral)))
    return result


@contextlib.contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def _check_axes(network: RegistrationNetwork | None, moving: SpatialImage, fixed: SpatialImage) -> None:
    if moving.grid.ndim != fixed.grid.ndim:
        raise InputError(
            f"The moving image {moving.name} has {moving.grid.ndim} axes and the fixed image {fixed.name} "
            f"{fixed.grid.ndim}; both must have as many."
        )
    taken = len(network.settings["image_shape"]) if network else fixed.grid.ndim
    if taken != fixed.grid.ndim:
        raise InputError(
            f"{fixed.name} has {fixed.grid.ndim} axes, but the network takes {taken}-D images. Name another --model, "
            "or none to register without a network."
        )
    counts = moving.array.shape[-1], fixed.array.shape[-1]
    wanted = tuple(network.settings["channels"]) if network else counts[:1] * 2
    if counts != wanted:
        taker = "the network takes {} and {}" if network else "optimisation takes as many of both, {} and {}"
        raise InputError(
            f"The moving image, {moving.name}, has {counts[0]} channel(s) and the fixed image, {fixed.name}, "
            f"{counts[1]}, but {taker.format(*wanted)}."
        )


def _affine(
    moving: SpatialImage, fixed: SpatialImage, prepared: PreparedPair, settings: RegistrationSettings
) -> AffineTransform:
    """The affine part, from fixed to moving space."""
    if settings.affine == "header":
        return identity(fixed.grid.ndim)
    if settings.affine == "none":
        if moving.grid.shape != fixed.grid.shape:
            raise InputError(
                f"--affine none lays voxel i on voxel i, but {moving.name} has shape {moving.grid.shape} and "
                f"{fixed.name} {fixed.grid.shape}: they must share one grid. Use --affine header or --affine register."
            )
        return AffineTransform(moving.grid.affine @ np.linalg.inv(fixed.grid.affine))
    logging.info("Searching for an affine transform with %d degrees of freedom.", settings.dof)
    first, second = prepared.moving, prepared.fixed
    return register_affine(
        _weighed(first.array, prepared.masks[0]),
        first.grid,
        _weighed(second.array, prepared.masks[1]),
        second.grid,
        dof=settings.dof,
        moving_mask=prepared.masks[0],
        fixed_mask=prepared.masks[1],
    )


def _weighed(array: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """One channel `[*spatial]` that shows what every channel of an image shows."""
    if array.shape[-1] == 1:
        return array[..., 0]
    # Channels that sum to one, such as tissue probabilities, would cancel with equal weights.
    return normalize(array, "minmax", mask) @ np.linspace(1.0, 2.0, array.shape[-1], dtype="float32")


def _align(
    images: ImagePair, network: RegistrationNetwork | None, settings: RegistrationSettings
) -> tuple[np.ndarray, np.ndarray | None, int, Integral | None]:
    """(displacement, its inverse or None, both in voxels of the working grid; steps done; `Integral` or None)."""
    moving, fixed = images
    steps = settings.refine if settings.refine >= 0 else (0 if network else STEPS)
    if network is not None and steps == 0:
        return *_predict(network, moving, fixed), 0, network_integral(network, moving, fixed)
    if steps == 0:
        nothing = np.zeros((*fixed.shape[:-1], fixed.ndim - 1), "float32")
        return nothing, nothing, 0, None
    velocity = None if network is None else starting_velocity(network, moving, fixed)
    refining = RefineConfig(steps=steps, similarity=settings.similarity, seconds=settings.refine_seconds)
    result = refine(moving, fixed, velocity, refining)
    logging.info("%d steps of optimisation in %.1f s.", result.steps, result.seconds)
    integral = pair_integral(result.velocity, fixed.shape[:-1], refining.integration_steps)
    return result.displacement, result.inverse_displacement, result.steps, integral


def _predict(
    network: RegistrationNetwork, moving: np.ndarray, fixed: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    network = network.for_shape(moving.shape[:-1])
    names = ["displacement"] + (["inverse_displacement"] if network.settings["integration_steps"] else [])
    answer = network.with_outputs(*names).predict_on_batch({"moving": moving[None], "fixed": fixed[None]})
    return np.asarray(answer["displacement"][0]), np.asarray(answer[names[1]][0]) if len(names) > 1 else None


def _uncertainty(
    images: ImagePair,
    displacement: np.ndarray,
    network: RegistrationNetwork | None,
    settings: RegistrationSettings,
    grid: Grid,
    refined: bool,
) -> Uncertainty:
    def register(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        return _align((moving, fixed), network, settings)[0]

    moving, fixed = images
    network = network and network.for_shape(fixed.shape[:-1])
    return pair_uncertainty(
        moving,
        fixed,
        displacement,
        register,
        network,
        refined=refined,
        linear=grid.affine[:-1, :-1],
        samples=settings.samples or SAMPLES,
    )


def _field(grid: Grid, displacement: np.ndarray) -> DisplacementField:
    """Convert a displacement from voxels of a grid to world millimetres."""
    linear = grid.affine[:-1, :-1].astype("float32")
    return DisplacementField(grid, displacement @ linear.T)
