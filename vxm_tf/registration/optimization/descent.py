"""Gradient descent on the velocity of one pair, from coarse to fine grids."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from keras import ops as K

from vxm_tf import losses
from vxm_tf.registration.optimization.config import WEIGHTS, RefineConfig
from vxm_tf.registration.optimization.pair_model import PairModel
from vxm_tf.registration.optimization.pyramid import Level, finer

# Smallest average number of voxels in a bin of a histogram.
VOXELS_PER_BIN = 8

Progress: TypeAlias = Callable[[int, int, float | None], object]
"""Called before each step with the steps done, the steps at most, and the last loss or None."""


@dataclasses.dataclass(frozen=True)
class Clock:
    """Time limit of an optimisation.

    Attributes:
        begin: time at which the optimisation began, by `time.perf_counter`.
        seconds: seconds that it may take; 0 for no limit.
    """

    begin: float
    seconds: float

    def is_over(self, part: float = 1.0) -> bool:
        """Whether this fraction of the time limit has passed."""
        return self.seconds > 0 and time.perf_counter() - self.begin >= part * self.seconds


def descend(
    grids: Sequence[Level], counts: Sequence[int], config: RefineConfig, clock: Clock, progress: Progress | None
) -> tuple[np.ndarray, list[float], str]:
    """Do the steps of every grid, the coarsest first.

    Args:
        grids: levels of the `pyramid`.
        counts: largest number of steps on each grid.
        config: settings of the optimisation.
        clock: time limit; half of it is for the coarse grids.
        progress: see `Progress`.

    Returns:
        (change, losses, stop): change of the finest grid's velocity, the loss before each step, and the reason for
        stopping, see `Refinement.stop`.
    """
    history: list[float] = []
    change, stop = np.zeros_like(grids[0]["start"]), "steps"

    def report() -> None:
        if progress:
            progress(len(history), sum(counts), history[-1] if history else None)

    for number, (grid, count) in enumerate(zip(grids, counts)):
        if number:
            change = finer(change, grid["start"].shape)
        last = number == len(grids) - 1
        if count and not clock.is_over():
            change, stop = _descend_grid(grid, change, count, config, history, report, clock, 1.0 if last else 0.5)
    return change, history, "seconds" if clock.is_over() and stop == "steps" and len(history) < sum(counts) else stop


def _descend_grid(
    grid: Level,
    change: np.ndarray,
    count: int,
    config: RefineConfig,
    history: list[float],
    report: Callable[[], None],
    clock: Clock,
    part: float,
) -> tuple[np.ndarray, str]:
    """The change of velocity after at most `count` steps on one grid, and the reason for stopping."""
    model = _model_for(grid, config)
    model.begin(change)
    inputs = {name: K.convert_to_tensor(grid[name]) for name in ("moving", "fixed", "start")}
    best, waited = math.inf, 0
    for step in range(count):
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


def _fall(phase: float) -> float:
    """Factor of the learning rate, which falls from 1 to a tenth along a cosine while `phase` goes from 0 to 1."""
    return 0.1 + 0.45 * (1.0 + math.cos(math.pi * phase))


def _model_for(grid: Level, config: RefineConfig) -> PairModel:
    """The compiled model for the shapes of a grid and the settings."""
    shapes = grid["start"].shape[1:-1], grid["fixed"].shape[1:-1]
    bins = _bins(config, shapes[1])
    arguments: dict[str, tuple] = {
        "lncc": (config.window,), "mse": (config.image_sigma,), "mi": (bins, config.patch),
    }  # fmt: skip
    weight = WEIGHTS[config.similarity] if config.weight is None else config.weight
    similarity = (config.similarity, *arguments[config.similarity])
    return _model(shapes[0], shapes[1], similarity, weight, config.fold_weight, config.integration_steps)


def _bins(config: RefineConfig, image_shape: Sequence[int]) -> int:
    """Number of bins that the image can fill; with few voxels in a bin, chance looks like information."""
    voxels = math.prod(min(config.patch or size, size) for size in image_shape)
    return min(config.bins, max(4, math.isqrt(voxels // VOXELS_PER_BIN)))


@functools.lru_cache(maxsize=16)
def _model(
    grid: tuple[int, ...],
    image_shape: tuple[int, ...],
    similarity: tuple[Any, ...],
    weight: float,
    fold_weight: float,
    integration_steps: int,
) -> PairModel:
    """The model for these shapes and settings; `similarity` holds a name, then the loss's arguments."""
    name, *arguments = similarity
    if name == "mi":
        loss = losses.MutualInformation(arguments[0], patch=arguments[1])
    else:
        loss = losses.LNCC(*arguments) if name == "lncc" else losses.MSE(*arguments)
    return PairModel(
        grid, image_shape, loss, weight=weight, fold_weight=fold_weight, integration_steps=integration_steps
    )
