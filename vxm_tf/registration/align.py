"""Two images anywhere in the world: brought onto the network's grid, aligned, and the answer brought back."""

import contextlib
import math
import time
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from absl import logging

from vxm_tf.data import normalize
from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork, input_settings
from vxm_tf.registration.mending import check_affine, mended
from vxm_tf.registration.optimization.refine import STEPS, RefineConfig, refine, starting_velocity
from vxm_tf.registration.optimization.reintegration import finer, network_integral, pair_integral
from vxm_tf.registration.overlap import check_overlap
from vxm_tf.registration.result import RegistrationResult
from vxm_tf.registration.settings import RegistrationSettings
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, SpatialImage, dense, resample
from vxm_tf.spatial.resampling import smoothed_for
from vxm_tf.spatial.transforms import identity
from vxm_tf.spatial.working_grid import GridSettings, content_box, isotropic_spacing_mm, working_grid
from vxm_tf.trust.uncertainty.pair_spread import pair_uncertainty
from vxm_tf.trust.uncertainty.spread import SAMPLES, Uncertainty

# Without a network one step takes time by the voxel; this many take about half a second on two cores.
MAX_WORKING_VOXELS = 1_200_000
MARGIN_VOXELS = 8

Masks: TypeAlias = tuple[np.ndarray | None, np.ndarray | None]


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
    image's own grid; what is moved afterwards is always the original.

    Args:
        moving: image to move, two or three axes, any orientation, spacing and shape.
        fixed: image to align it with, as many axes.
        network: a `RegistrationNetwork`; None optimises from the identity.
        settings: what is computed; the defaults of `RegistrationSettings` if None.
        masks: bool `[*spatial]` of the moving and of the fixed image, None for all of it.

    Raises:
        InputError: images that the network does not take, or that do not overlap.
    """
    settings = settings or RegistrationSettings()
    _check_axes(network, moving, fixed)
    originals, seconds = (moving, fixed), {}
    masked = [_masked(image, mask) for image, mask in zip(originals, masks)]
    grid_choice = grid_settings(network, fixed, settings)
    if grid_choice.orientation:
        # From here on nothing depends on the order of axes in the files.
        masked = [_rounded(image.reoriented("RAS")) for image in masked]
        masks = tuple(m if m is None else i.with_array(m).reoriented("RAS").array for m, i in zip(masks, originals))
    with _timed(seconds, "affine"):
        affine = _affine(originals, masked, masks, settings)
    check_overlap(moving, fixed, affine, warn_of_distance=settings.affine == "header")
    if settings.repair:
        check_affine(affine, fixed.grid, moving.grid)
    grid = _working_grid(masked[1], network, grid_choice, settings)
    images = _working_images(masked, grid, affine, network)
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


def grid_settings(
    network: RegistrationNetwork | None, fixed: SpatialImage, settings: RegistrationSettings
) -> GridSettings:
    """The grid to work on: what the model recorded, else what the settings say, else the fixed image's."""
    recorded = GridSettings.recorded(network.metadata) if network else GridSettings()
    spacing = recorded.spacing_mm or ((settings.spacing_mm,) * fixed.grid.ndim if settings.spacing_mm > 0 else None)
    orientation = recorded.orientation or settings.orientation or (None if network else "RAS"[: fixed.grid.ndim])
    return GridSettings(recorded.shape, spacing, orientation)


def _rounded(image):
    """An image whose grid is free of the rounding of headers, which optimisation would amplify.

    Headers hold float32, so one place stored in another order of axes differs in the last digits. A thousandth of a
    millimetre, or of a smaller voxel, does not matter to what is estimated here, and what is moved afterwards uses the
    grids as they are.
    """
    affine = image.grid.affine.copy()
    smaller = max(0, -math.floor(math.log10(min(image.grid.spacing_mm)) + 1e-9) - 1)
    affine[:-1, :-1], affine[:-1, -1] = affine[:-1, :-1].round(6 + smaller), affine[:-1, -1].round(3 + smaller)
    return SpatialImage(image.array, Grid(image.grid.shape, affine))


def _masked(image, mask):
    if mask is None:
        return image
    return image.with_array(np.where(mask[..., None], image.array, image.array.min()))


def _check_axes(network, moving, fixed):
    if moving.grid.ndim != fixed.grid.ndim:
        raise InputError(
            f"{moving.name} has {moving.grid.ndim} axes and {fixed.name} {fixed.grid.ndim}; both must have as many."
        )
    taken = len(network.settings["image_shape"]) if network else fixed.grid.ndim
    if taken != fixed.grid.ndim:
        raise InputError(
            f"{fixed.name} has {fixed.grid.ndim} axes, but the network takes {taken}-D images. Name another --model, "
            "or none to register without a network."
        )


def _affine(originals, images, masks, settings):
    moving, fixed = originals
    if settings.affine == "header":
        return identity(fixed.grid.ndim)
    if settings.affine == "none":
        if moving.grid.shape != fixed.grid.shape:
            raise InputError(
                f"--affine none lays voxel i on voxel i, but {moving.name} has shape {moving.grid.shape} and "
                f"{fixed.name} {fixed.grid.shape}: they must share one grid. Use --affine header or --affine register."
            )
        return AffineTransform(moving.grid.affine @ np.linalg.inv(fixed.grid.affine))
    from vxm_tf.registration.affine.estimate import register_affine

    logging.info("Searching an affine transform with %d degrees of freedom.", settings.dof)
    arrays = [(image.array[..., 0], image.grid) for image in images]
    return register_affine(*arrays[0], *arrays[1], dof=settings.dof, moving_mask=masks[0], fixed_mask=masks[1])


def _working_grid(fixed, network, choice, settings):
    if network is None:
        fixed = fixed.reoriented(settings.orientation) if settings.orientation else fixed
        box = content_box(fixed.array)
        spacing = isotropic_spacing_mm(fixed.grid, box, MAX_WORKING_VOXELS, settings.spacing_mm)
        choice = GridSettings(spacing_mm=spacing, orientation=settings.orientation or None)
        return working_grid(fixed.grid, box, choice, MARGIN_VOXELS)
    if choice.spacing_mm is None and choice.orientation is None and choice.shape is None:
        return fixed.grid
    whole = tuple((0, size - 1) for size in fixed.grid.shape)
    return working_grid(fixed.grid, content_box(fixed.array) if choice.shape else whole, choice)


def _working_images(masked, grid, affine, network):
    """Moving image, after the affine part, and fixed image on the working grid, normalised for the network."""
    normalization = input_settings(network)["normalization"] if network else "percentile"
    logging.info(
        "Working on %s voxels of %s mm, %s.",
        " x ".join(map(str, grid.shape)), " x ".join(f"{s:.3g}" for s in grid.spacing_mm), grid.orientation,
    )  # fmt: skip
    on_grid = (_on_grid(masked[0], grid, affine), _on_grid(masked[1], grid, None))
    return tuple(normalize(image, normalization) for image in on_grid)


def _on_grid(image, grid, affine):
    """An image through one interpolation, without detail that the grid cannot hold."""
    there = image.grid if affine is None else Grid(image.grid.shape, affine.inverse().matrix @ image.grid.affine)
    smooth = smoothed_for(image.array, there, grid)
    # Beyond its field of view the edge goes on, as in training: a made-up background would be an edge to align.
    return resample(smooth, there, grid, fill_value=None)


def _align(images, network, settings):
    """(displacement, its inverse or None, both in voxels of the working grid; steps done; `Integral` or None)."""
    steps = settings.refine if settings.refine >= 0 else (0 if network else STEPS)
    if network is not None and steps == 0:
        return *_predict(network, *images), 0, network_integral(network, *images)
    if steps == 0:
        nothing = np.zeros((*images[1].shape[:-1], images[1].ndim - 1), "float32")
        return nothing, nothing, 0, None
    velocity = None if network is None else starting_velocity(network, *images)
    refining = RefineConfig(steps=steps, similarity=settings.similarity, seconds=settings.refine_seconds)
    result = refine(*images, velocity, refining)
    logging.info("%d steps of optimisation in %.1f s.", result.steps, result.seconds)
    integral = pair_integral(result.velocity, images[1].shape[:-1], refining.integration_steps)
    return result.displacement, result.inverse_displacement, result.steps, integral


def _predict(network, moving, fixed):
    network = network.for_shape(moving.shape[:-1])
    names = ["displacement"] + (["inverse_displacement"] if network.settings["integration_steps"] else [])
    answer = network.with_outputs(*names).predict_on_batch({"moving": moving[None], "fixed": fixed[None]})
    return np.asarray(answer["displacement"][0]), np.asarray(answer[names[1]][0]) if len(names) > 1 else None


def _uncertainty(images, displacement, network, settings, grid, refined) -> Uncertainty:
    def register(*images):
        return _align(images, network, settings)[0]

    network = network and network.for_shape(images[1].shape[:-1])
    return pair_uncertainty(
        *images,
        displacement,
        register,
        network,
        refined=refined,
        linear=grid.affine[:-1, :-1],
        samples=settings.samples or SAMPLES,
    )


def _field(grid, displacement):
    """A displacement in voxels of a grid as one in world millimetres."""
    linear = grid.affine[:-1, :-1].astype("float32")
    return DisplacementField(grid, displacement @ linear.T)
