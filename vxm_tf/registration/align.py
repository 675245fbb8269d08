"""Two images anywhere in the world: brought onto the network's grid, aligned, and the answer brought back."""

import math
import time

import numpy as np
from absl import logging

from vxm_tf.data import normalize
from vxm_tf.files.errors import VolumeError
from vxm_tf.metrics import labels_in
from vxm_tf.workflows.register_config import RegisterConfig
from vxm_tf.registration.optimization.reintegration import finer, network_integral, pair_integral
from vxm_tf.models.saved import input_settings
from vxm_tf.registration.result import RegistrationResult
from vxm_tf.registration.mending import check_affine, mended
from vxm_tf.registration.overlap import check_overlap
from vxm_tf.trust.uncertainty.pair_spread import pair_uncertainty
from vxm_tf.registration.optimization.refine import STEPS, RefineConfig, refine, starting_velocity
from vxm_tf.registration.structure_intervals import StructureSamples
from vxm_tf.trust.uncertainty.spread import SAMPLES
from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid, SpatialImage, dense, resample
from vxm_tf.spatial.resampling import smoothed_for
from vxm_tf.spatial.transforms import identity
from vxm_tf.spatial.working_grid import GridSettings, content_box, isotropic_spacing_mm, working_grid

# Without a network one step takes time by the voxel; this many take about half a second on two cores.
MAX_WORKING_VOXELS = 1_200_000
MARGIN_VOXELS = 8


def register_images(
    moving: SpatialImage, fixed: SpatialImage, network=None, config=None, *, masks=(None, None), labels=None
):
    """Align two images wherever they lie.

    Both are resampled once onto the network's grid, aligned there, and the displacement is brought back to the fixed
    image's own grid; what is moved afterwards is always the original.

    Args:
        moving, fixed: with two or three axes, any orientation, spacing and shape.
        network: a `RegistrationNetwork`; None optimises from the identity.
        config: a `RegisterConfig`, of which paths are left aside.
        masks: bool `[*spatial]` of the moving and of the fixed image, None for all of it.
        labels: integers `[*spatial]`, a segmentation of the moving image; where the uncertainty is asked for, the
            volumes of its structures get intervals.

    Returns:
        A `RegistrationResult`.

    Raises:
        VolumeError: images that the network does not take, or that do not overlap.
    """
    config = config or RegisterConfig()
    if moving.grid.ndim != fixed.grid.ndim:
        raise VolumeError(
            f"{moving.name} has {moving.grid.ndim} axes and {fixed.name} {fixed.grid.ndim}; both must have as many."
        )
    _check_axes(network, fixed)
    settings = grid_settings(network, fixed, config)
    originals = (moving, fixed)
    masked = [_masked(image, mask) for image, mask in zip(originals, masks)]
    if settings.orientation:
        # From here on nothing depends on the order of axes in the files.
        masked = [_rounded(image.reoriented("RAS")) for image in masked]
        masks = [m if m is None else i.with_array(m).reoriented("RAS").array for m, i in zip(masks, originals)]
    seconds = {}
    start = time.perf_counter()
    affine = _affine(originals, masked, masks, config)
    seconds["affine"] = time.perf_counter() - start
    check_overlap(moving, fixed, affine, config)
    if config.repair:
        check_affine(affine, fixed.grid, moving.grid)
    grid = _working_grid(masked[1], network, settings, config)
    images = [_on_grid(masked[0], grid, affine), _on_grid(masked[1], grid, None)]
    normalization = input_settings(network)["normalization"] if network else "percentile"
    images = [normalize(image, normalization) for image in images]
    logging.info(
        "Working on %s voxels of %s mm, %s.",
        " x ".join(map(str, grid.shape)), " x ".join(f"{s:.3g}" for s in grid.spacing_mm), grid.orientation,
    )  # fmt: skip
    start = time.perf_counter()
    displacement, inverse, steps, integral = _align(images, network, config)
    seconds["deformation"] = time.perf_counter() - start
    found = {"working_images": tuple(images), "similarity": config.similarity}
    if config.uncertainty or config.error_bound or config.samples:
        start = time.perf_counter()
        structures = _structures(moving, labels, grid, affine)
        watch = (structures.look,) if structures else ()
        found["uncertainty"] = _uncertainty(images, displacement, network, config, grid, steps > 0, watch)
        found["structures"] = structures.volumes_mm3() if structures else {}
        seconds["uncertainty"] = time.perf_counter() - start

    def native(displacement, inverse):
        backwards = Chain((affine.inverse(), _field(grid, inverse if inverse is not None else -displacement)))
        on_fixed = dense(_field(grid, displacement), fixed.grid)
        parts = affine, on_fixed, grid, displacement, backwards, seconds, steps
        return RegistrationResult(*originals, *parts, **found)

    result = native(displacement, inverse)
    if config.repair:
        start = time.perf_counter()
        result = mended(result, ((number, native(*both)) for number, *both in finer(integral)))
        seconds["repair"] = time.perf_counter() - start
    return result


def grid_settings(network, fixed: SpatialImage, config) -> GridSettings:
    """The grid to work on: what the model recorded, else what the configuration says, else the fixed image's."""
    recorded = GridSettings.recorded(network.metadata) if network else GridSettings()
    spacing = recorded.spacing_mm or ((config.spacing_mm,) * fixed.grid.ndim if config.spacing_mm > 0 else None)
    orientation = recorded.orientation or config.orientation or (None if network else "RAS"[: fixed.grid.ndim])
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


def _check_axes(network, fixed):
    taken = len(network.settings["image_shape"]) if network else fixed.grid.ndim
    if taken != fixed.grid.ndim:
        raise VolumeError(
            f"{fixed.name} has {fixed.grid.ndim} axes, but the network takes {taken}-D images. Name another --model, "
            "or none to register without a network."
        )


def _affine(originals, images, masks, config):
    moving, fixed = originals
    if config.affine == "header":
        return identity(fixed.grid.ndim)
    if config.affine == "none":
        if moving.grid.shape != fixed.grid.shape:
            raise VolumeError(
                f"--affine none lays voxel i on voxel i, but {moving.name} has shape {moving.grid.shape} and "
                f"{fixed.name} {fixed.grid.shape}: they must share one grid. Use --affine header or --affine register."
            )
        return AffineTransform(moving.grid.affine @ np.linalg.inv(fixed.grid.affine))
    from vxm_tf.registration.affine.estimate.estimate import register_affine

    logging.info("Searching an affine transform with %d degrees of freedom.", config.dof)
    arrays = [(image.array[..., 0], image.grid) for image in images]
    return register_affine(*arrays[0], *arrays[1], dof=config.dof, moving_mask=masks[0], fixed_mask=masks[1])


def _working_grid(fixed, network, settings, config):
    if network is None:
        fixed = fixed.reoriented(config.orientation) if config.orientation else fixed
        box = content_box(fixed.array)
        spacing = isotropic_spacing_mm(fixed.grid, box, MAX_WORKING_VOXELS, config.spacing_mm)
        settings = GridSettings(spacing_mm=spacing, orientation=config.orientation or None)
        return working_grid(fixed.grid, box, settings, MARGIN_VOXELS)
    if settings.spacing_mm is None and settings.orientation is None and settings.shape is None:
        return fixed.grid
    whole = tuple((0, size - 1) for size in fixed.grid.shape)
    return working_grid(fixed.grid, content_box(fixed.array) if settings.shape else whole, settings)


def _on_grid(image, grid, affine):
    """An image through one interpolation, without detail that the grid cannot hold."""
    there = image.grid if affine is None else Grid(image.grid.shape, affine.inverse().matrix @ image.grid.affine)
    smooth = smoothed_for(image.array, there, grid)
    # Beyond its field of view the edge goes on, as in training: a made-up background would be an edge to align.
    return resample(smooth, there, grid, fill_value=None)


def _align(images, network, config):
    """(displacement, its inverse or None, both in voxels of the working grid; steps done; `Integral` or None)."""
    steps = config.refine if config.refine >= 0 else (0 if network else STEPS)
    if network is not None and steps == 0:
        return *_predict(network, *images), 0, network_integral(network, *images)
    if steps == 0:
        nothing = np.zeros((*images[1].shape[:-1], images[1].ndim - 1), "float32")
        return nothing, nothing, 0, None
    velocity = None if network is None else starting_velocity(network, *images)
    settings = RefineConfig(steps=steps, similarity=config.similarity, seconds=config.refine_seconds)
    result = refine(*images, velocity, settings)
    logging.info("%d steps of optimisation in %.1f s.", result.steps, result.seconds)
    integral = pair_integral(result.velocity, images[1].shape[:-1], settings.integration_steps)
    return result.displacement, result.inverse_displacement, result.steps, integral


def _predict(network, moving, fixed):
    network = network.for_shape(moving.shape[:-1])
    names = ["displacement"] + (["inverse_displacement"] if network.settings["integration_steps"] else [])
    answer = network.with_outputs(*names).predict_on_batch({"moving": moving[None], "fixed": fixed[None]})
    return np.asarray(answer["displacement"][0]), np.asarray(answer[names[1]][0]) if len(names) > 1 else None


def _structures(moving, labels, grid, affine):
    """What watches the volumes of moved structures; None without any."""
    ids = () if labels is None else labels_in(labels)
    if not ids:
        return None
    labels = resample(labels, moving.grid, grid, affine, interpolation="nearest")
    return StructureSamples(labels, ids, math.prod(grid.spacing_mm))


def _uncertainty(images, displacement, network, config, grid, refined, watch):
    def register(*images):
        return _align(images, network, config)[0]

    network = network and network.for_shape(images[1].shape[:-1])
    samples = config.samples or SAMPLES
    linear = grid.affine[:-1, :-1]
    settings = {"refined": refined, "linear": linear, "samples": samples, "watch": watch}
    return pair_uncertainty(*images, displacement, register, network, **settings)


def _field(grid, displacement):
    """A displacement in voxels of a grid as one in world millimetres."""
    linear = grid.affine[:-1, :-1].astype("float32")
    return DisplacementField(grid, displacement @ linear.T)
