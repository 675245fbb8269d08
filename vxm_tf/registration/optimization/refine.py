"""Registering or refining one pair by optimisation: gradient descent on its own velocity."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable

import numpy as np
from keras import ops as K

from vxm_tf import losses, ops
from vxm_tf.ops.alignment import CELL
from vxm_tf.registration.optimization.fold_limit import admissible_change
from vxm_tf.registration.optimization.pair_model import PairModel, to_image_grid
from vxm_tf.registration.optimization.pyramid import check_images, check_velocity, finer, pyramid, smoothed

STEPS = 75
# They put the similarities' different scales on one level of smoothness.
WEIGHTS = {"lncc": 0.5, "mse": 1.0, "mi": 2.0}
VOXELS_PER_BIN = 8
# How the steps are shared among grids, coarse to fine; a step on one costs an eighth of one on the next.
SHARES = (2 / 3, 1 / 3)
# A network's detail can lie where no descent leads out of; fewer steps than these do not find the rest of it again.
SMOOTHING, SMOOTHING_FROM_STEPS = 4.0, 50


@dataclasses.dataclass(frozen=True)
class RefineConfig:
    """Settings of `refine`; the defaults were chosen on brains of 2 mm with intensities in [0, 1].

    Attributes:
        steps: of the optimiser, on all grids together. 0 returns the start.
        similarity: "lncc", "mse", or "mi" for images of different contrast.
        window: edge of LNCC's box, in voxels of each grid.
        image_sigma: noise of MSE, in units of intensity.
        bins: of the histograms of MI, at most; small blocks and images have fewer.
        patch: edge of the blocks of MI with a histogram of their own, in voxels of each grid; 0 for one of all.
        weight: of the mean squared derivative of the displacement, beside a similarity of order 1; None for
            the similarity's own in `WEIGHTS`.
        fold_weight: of `folding_penalty`, which is 0 until a simplex of the grid loses four fifths of its volume.
        smoothing: standard deviation, in cells, of the Gaussian that a given velocity is smoothed with before the first
            step; None for 4 if 50 steps or more follow and their time is not limited, otherwise 0.
        learning_rate: Adam's, in cells of each grid a step (a cell is two voxels); it falls to a tenth over
            each grid's steps, along a cosine.
        seconds: no further step begins after so long; 0 for no limit. The first step of a process compiles.
        tolerance: a step makes progress if it lowers the loss by more than this.
        patience: steps without progress after which a grid is left.
        integration_steps: squarings.
    """

    steps: int = STEPS
    similarity: str = "lncc"
    window: int = 7
    image_sigma: float = 0.05
    bins: int = 32
    patch: int = 24
    weight: float | None = None
    fold_weight: float = 10.0
    smoothing: float | None = None
    learning_rate: float = 0.3
    seconds: float = 0.0
    tolerance: float = 1e-4
    patience: int = 10
    integration_steps: int = 5

    def __post_init__(self):
        if self.similarity not in WEIGHTS:
            raise ValueError(f"similarity is one of {', '.join(map(repr, WEIGHTS))}; got {self.similarity!r}.")
        for name in ("steps", "weight", "fold_weight", "smoothing", "seconds", "tolerance", "integration_steps"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is 0 or more; got {value}.")
        for name in ("learning_rate", "patience"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is more than 0; got {getattr(self, name)}.")


@dataclasses.dataclass(frozen=True)
class Refinement:
    """What `refine` found.

    Attributes:
        displacement: float32 `[*spatial, ndim]`, in voxels: moved(x) = moving(x + displacement(x)).
        inverse_displacement: the same for the other direction, fixed_moved(x) = fixed(x + inverse(x)).
        velocity: float32 `[*grid, ndim]`, in cells of its grid, of which both are integrals.
        steps: done, on all grids together.
        seconds: wall time of everything, compiling included.
        losses: of every step, before it: similarity + weight * regularity + fold_weight * folding. Each grid has
            its own level.
        stop: why it ended: "steps", "converged" (no progress on the finest grid), "seconds", or "diverged"
            (a loss that is no number; the answer is of the grid before).
    """

    displacement: np.ndarray
    inverse_displacement: np.ndarray
    velocity: np.ndarray
    steps: int
    seconds: float
    losses: tuple[float, ...]
    stop: str


def refine(
    moving, fixed, velocity=None, config: RefineConfig | None = None, progress: Callable | None = None
) -> Refinement:
    """The displacement that aligns `moving` with `fixed`, from a velocity or from nothing.

    Adam moves a stationary velocity field on half the image's grid, coarse grids first, to minimise
    similarity(moved, fixed) + weight * mean |d displacement|^2 + fold_weight * folding. The answer never
    folds more than the start, smoothed as `RefineConfig.smoothing` says: neither `metrics.fold_fraction` nor
    `metrics.non_diffeomorphic_volume` of the displacement is higher, so from the identity both are 0.

    Compiled steps are kept for later pairs of the same shape; not for several threads at a time.

    Args:
        moving: float `[*spatial, channels]`, two or three axes of at least 4 voxels, normalised to [0, 1].
        fixed: the same shape, on the same grid.
        velocity: where to start, `[*grid, ndim]` in cells of its grid; a cell covers two voxels along each
            axis, the first cell the first two, and cells may lie beyond the image's end. None for the
            identity. See `starting_velocity`.
        config: a `RefineConfig`.
        progress: called before each step with (steps done, steps at most, last loss or None).

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
    change, history, stop = _descend(grids, counts, config, _Clock(begin, config.seconds), progress)
    integrate = functools.partial(displacement_of, shape=shape, steps=config.integration_steps)
    change, displacement = admissible_change(start[None], change, integrate)
    total = start[None] + change
    answer = (displacement, integrate(-total), total[0], len(history))
    return Refinement(*answer, time.perf_counter() - begin, tuple(history), stop)


def starting_velocity(network, moving, fixed) -> np.ndarray:
    """What a network says of a pair, as the velocity that `refine` starts from.

    Integrated with the network's number of steps it gives the network's displacement exactly if that
    integrates at half resolution and resizes by "areas", as the presets do; nearly, up to one more
    interpolation, otherwise. The displacement of a network that integrates nothing is taken for a velocity,
    which gives a smaller or larger displacement where it varies within its own length.

    Args:
        network: a `RegistrationNetwork`.
        moving, fixed: float `[*spatial, channels]`, one shape, normalised as the network was trained.

    Returns:
        float32 `[*grid, ndim]`, in cells of two voxels, over the image padded as the network pads it.

    Raises:
        ValueError: another number of axes or channels than the network takes.
    """
    moving, fixed = check_images(moving, fixed, network.settings["channels"])
    velocity = K.convert_to_numpy(network_velocity(network, moving, fixed))
    resolution = network._integration_resolution(network.settings)
    padded = [size * resolution for size in velocity.shape[1:-1]]
    rule = network._resize_rule(network.settings)
    if rule != "areas":
        velocity = ops.resize(velocity, padded, rule)
    return K.convert_to_numpy(ops.resize(velocity, [-(-size // CELL) for size in padded]))[0]


def network_velocity(network, moving, fixed):
    """What a network answers to one pair before it integrates.

    Args:
        network: a `RegistrationNetwork`.
        moving, fixed: float `[*spatial, channels]`, one shape, normalised as the network was trained.

    Returns:
        `[1, *grid, ndim]`, in voxels of its own grid.
    """
    if None not in network.settings["image_shape"]:
        network = network.for_shape(moving.shape[:-1])
    return network.with_outputs("velocity").predict_on_batch({"moving": moving[None], "fixed": fixed[None]})["velocity"]


@dataclasses.dataclass(frozen=True)
class _Clock:
    begin: float
    seconds: float

    def is_over(self, part=1.0) -> bool:
        """Whether that part of the time has passed."""
        return self.seconds > 0 and time.perf_counter() - self.begin >= part * self.seconds


def _smoothing(config):
    if config.smoothing is not None:
        return config.smoothing
    return SMOOTHING if config.steps >= SMOOTHING_FROM_STEPS and not config.seconds else 0.0


def _share(steps, shares):
    """Whole numbers of steps in about these proportions, `steps` in all."""
    ends = [round(steps * sum(shares[: k + 1]) / sum(shares)) for k in range(len(shares))]
    return [end - before for end, before in zip(ends, [0, *ends])]


def _descend(grids, counts, config, clock, progress):
    """(change of the finest grid's velocity, losses, why it ended), after the steps of every grid."""
    change, history, stop = np.zeros_like(grids[0]["start"]), [], "steps"
    report = (lambda: progress(len(history), sum(counts), history[-1] if history else None)) if progress else None
    for number, (grid, count) in enumerate(zip(grids, counts)):
        if number:
            change = finer(change, grid["start"].shape)
        last = number == len(grids) - 1
        if count and not clock.is_over():
            change, stop = _descend_grid(grid, change, count, config, history, report, clock, 1.0 if last else 0.5)
    return change, history, "seconds" if clock.is_over() and stop == "steps" and len(history) < sum(counts) else stop


def _descend_grid(grid, change, count, config, history, report, clock, part):
    """(change after `count` steps on one grid, why it ended)."""
    model = _model_for(grid, config)
    model.begin(change)
    inputs = {name: K.convert_to_tensor(grid[name]) for name in ("moving", "fixed", "start")}
    best, waited = math.inf, 0
    for step in range(count):
        if report:
            report()
        loss = model.step(inputs, config.learning_rate * _fall(step / count))
        history.append(loss)
        if not math.isfinite(loss):
            return change, "diverged"
        waited = 0 if loss < best - config.tolerance else waited + 1
        best = min(best, loss) if waited == 0 else best
        if waited >= config.patience:
            return K.convert_to_numpy(model.change), "converged"
        if clock.is_over(part):
            break
    return K.convert_to_numpy(model.change), "steps"


def _fall(phase):
    """From 1 to a tenth along a cosine."""
    return 0.1 + 0.45 * (1.0 + math.cos(math.pi * phase))


def _model_for(grid, config):
    shapes = grid["start"].shape[1:-1], grid["fixed"].shape[1:-1]
    bins = _bins(config, shapes[1])
    arguments = {"lncc": (config.window,), "mse": (config.image_sigma,), "mi": (bins, config.patch)}
    weight = WEIGHTS[config.similarity] if config.weight is None else config.weight
    similarity = (config.similarity, *arguments[config.similarity])
    return _model(*shapes, similarity, weight, config.fold_weight, config.integration_steps)


def _bins(config, image_shape):
    """No more than a histogram can fill: with few voxels to a bin, chance looks like information."""
    voxels = math.prod(min(config.patch or size, size) for size in image_shape)
    return min(config.bins, max(4, math.isqrt(voxels // VOXELS_PER_BIN)))


@functools.lru_cache(maxsize=16)
def _model(grid, image_shape, similarity, weight, fold_weight, integration_steps):
    name, *arguments = similarity
    if name == "mi":
        similarity = losses.MutualInformation(arguments[0], patch=arguments[1])
    else:
        similarity = {"lncc": losses.LNCC, "mse": losses.MSE}[name](*arguments)
    settings = {"weight": weight, "fold_weight": fold_weight, "integration_steps": integration_steps}
    return PairModel(grid, image_shape, similarity, **settings)


def displacement_of(velocity, shape, steps):
    """The integral of a velocity `[1, *grid, ndim]` in cells, on the grid of an image: `[*shape, ndim]`, in voxels."""
    return K.convert_to_numpy(to_image_grid(ops.integrate(velocity, steps), shape))[0]
