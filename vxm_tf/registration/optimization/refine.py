"""Registering or refining one pair by optimisation: gradient descent on its own velocity."""

import dataclasses
import functools
import time
from collections.abc import Sequence

import numpy as np
from keras import ops as K

from vxm_tf import ops
from vxm_tf.models import RegistrationNetwork
from vxm_tf.ops.alignment import CELL
from vxm_tf.ops.tensors import Tensor
from vxm_tf.registration.optimization.config import RefineConfig
from vxm_tf.registration.optimization.descent import Clock, Progress, descend
from vxm_tf.registration.optimization.fold_limit import admissible_change
from vxm_tf.registration.optimization.pair_model import to_image_grid
from vxm_tf.registration.optimization.pyramid import check_images, check_velocity, pyramid, smoothed

# Fraction of the steps on each grid, coarse to fine; a step costs an eighth of one on the next grid.
SHARES = (2 / 3, 1 / 3)
# A network's detail can be a local optimum that descent does not leave, so it is smoothed away; fewer steps than these
# would not recover the rest of it.
SMOOTHING, SMOOTHING_FROM_STEPS = 4.0, 50


@dataclasses.dataclass(frozen=True)
class Refinement:
    """Registration of one pair by optimisation, made by `refine`.

    Attributes:
        displacement: float32 `[*spatial, ndim]`, in voxels: moved(x) = moving(x + displacement(x)).
        inverse_displacement: displacement of the inverse, fixed_moved(x) = fixed(x + inverse_displacement(x)), of the
            same shape.
        velocity: velocity whose integrals both displacements are, float32 `[*grid, ndim]`, in cells of its grid.
        steps: number of steps done, on all grids together.
        seconds: wall time of everything, compiling included.
        losses: loss before every step, similarity + weight * regularity + fold_weight * folding; losses of different
            grids are not comparable.
        stop: reason for stopping: "steps", "converged" (no progress on the finest grid), "seconds", or "diverged" (a
            loss that is not finite; the result is that of the grid before).
    """

    displacement: np.ndarray
    inverse_displacement: np.ndarray
    velocity: np.ndarray
    steps: int
    seconds: float
    losses: tuple[float, ...]
    stop: str


def refine(
    moving: np.ndarray,
    fixed: np.ndarray,
    velocity: np.ndarray | None = None,
    config: RefineConfig | None = None,
    progress: Progress | None = None,
) -> Refinement:
    """Optimise the displacement that aligns `moving` with `fixed`, from a velocity or from the identity.

    Adam changes a stationary velocity field at half the image's resolution, coarse grids first, to minimise
    similarity(moved, fixed) + weight * mean |d displacement|^2 + fold_weight * folding. The result never folds more
    than the start, smoothed by `RefineConfig.smoothing`: neither `metrics.fold_fraction` nor
    `metrics.non_diffeomorphic_volume` of the displacement or of the inverse is higher, so from the identity both are 0.
    Folds between the voxels, where tools interpolate trilinearly, are not limited: see `vxm_tf.trust.certify`.

    Compiled steps are kept for later pairs of the same shape. The function is not thread-safe.

    Args:
        moving: float `[*spatial, channels]`, two or three axes of at least 4 voxels, normalised to [0, 1].
        fixed: image of the same shape, on the same grid, normalised in the same way.
        velocity: velocity to start from, `[*grid, ndim]` in cells of its grid; a cell covers two voxels along each
            axis, the first cell the first two, and cells may lie beyond the image's end. None for the identity. See
            `starting_velocity`.
        config: settings; the defaults of `RefineConfig` if None.
        progress: called before each step with the number of steps done, the largest number of steps, and the last loss
            or None.

    Raises:
        ValueError: images or a velocity of other shapes, or with values that are not finite.

    Example:

    >>> import numpy as np
    >>> from vxm_tf.registration.optimization.refine import RefineConfig, refine
    >>> image = np.random.default_rng(0).random((16, 18, 1), "float32")
    >>> refine(image, image, config=RefineConfig(steps=0)).displacement.shape
    (16, 18, 2)
    """
    begin = time.perf_counter()
    config = config or RefineConfig()
    moving, fixed = check_images(moving, fixed)
    shape = fixed.shape[:-1]
    start = smoothed(check_velocity(velocity, shape), _smoothing(config))
    grids = pyramid({"moving": moving, "fixed": fixed, "start": start}, len(SHARES))
    counts = _share(config.steps, SHARES[-len(grids) :])
    change, history, stop = descend(grids, counts, config, Clock(begin, config.seconds), progress)
    integrate = functools.partial(displacement_of, shape=shape, steps=config.integration_steps)
    change, displacement = admissible_change(start[None], change, integrate)
    total = start[None] + change
    return Refinement(
        displacement=displacement,
        inverse_displacement=integrate(-total),
        velocity=total[0],
        steps=len(history),
        seconds=time.perf_counter() - begin,
        losses=tuple(history),
        stop=stop,
    )


def starting_velocity(network: RegistrationNetwork, moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """A network's prediction for a pair, as the velocity that `refine` starts from.

    Integrated with the network's number of steps, it gives the network's displacement exactly if the network
    integrates at half resolution and resizes by "areas", as the presets do; otherwise they differ by one more
    interpolation. The displacement of a network without integration is used as a velocity; its integral is smaller or
    larger where the displacement varies over a distance as short as its own length.

    Args:
        network: a `RegistrationNetwork`.
        moving, fixed: images, float `[*spatial, channels]`, of one shape, normalised as the network was trained.

    Returns:
        float32 `[*grid, ndim]`, in cells of two voxels, over the image padded as the network pads it.

    Raises:
        ValueError: images whose number of axes or channels is not the network's.
    """
    moving, fixed = check_images(moving, fixed, network.settings["channels"])
    velocity = K.convert_to_numpy(network_velocity(network, moving, fixed))
    resolution = network._integration_resolution(network.settings)
    padded = [size * resolution for size in velocity.shape[1:-1]]
    rule = network._resize_rule(network.settings)
    if rule != "areas":
        velocity = ops.resize(velocity, padded, rule)
    return K.convert_to_numpy(ops.resize(velocity, [-(-size // CELL) for size in padded]))[0]


def network_velocity(network: RegistrationNetwork, moving: np.ndarray, fixed: np.ndarray) -> Tensor:
    """A network's prediction for one pair, before it is integrated.

    Args:
        network: a `RegistrationNetwork`.
        moving, fixed: images, float `[*spatial, channels]`, of one shape, normalised as the network was trained.

    Returns:
        Velocity `[1, *grid, ndim]`, in voxels of its own grid.
    """
    if None not in network.settings["image_shape"]:
        network = network.for_shape(moving.shape[:-1])
    return network.with_outputs("velocity").predict_on_batch({"moving": moving[None], "fixed": fixed[None]})["velocity"]


def _smoothing(config: RefineConfig) -> float:
    """Standard deviation of the Gaussian for the start, in cells."""
    if config.smoothing is not None:
        return config.smoothing
    return SMOOTHING if config.steps >= SMOOTHING_FROM_STEPS and not config.seconds else 0.0


def _share(steps: int, shares: Sequence[float]) -> list[int]:
    """Split `steps` into whole numbers in about these proportions."""
    ends = [round(steps * sum(shares[: k + 1]) / sum(shares)) for k in range(len(shares))]
    return [end - before for end, before in zip(ends, [0, *ends])]


def displacement_of(velocity: Tensor, shape: Sequence[int], steps: int) -> np.ndarray:
    """Integrate a velocity and bring the displacement onto an image's grid.

    Args:
        velocity: `[1, *grid, ndim]`, in cells of its grid.
        shape: spatial shape of the image.
        steps: number of squarings.

    Returns:
        Displacement `[*shape, ndim]`, in voxels of the image.
    """
    return K.convert_to_numpy(to_image_grid(ops.integrate(velocity, steps), shape))[0]
