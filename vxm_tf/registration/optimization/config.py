"""Settings of the optimisation of one pair."""

import dataclasses

from vxm_tf.configuration import check_choices, described, option

STEPS = 75
"""Default number of steps of optimisation."""
WEIGHTS = {"lncc": 0.5, "mse": 1.0, "mi": 2.0}
"""Weight of the regularity beside each similarity, chosen for one smoothness of the results."""


@described
@dataclasses.dataclass(frozen=True)
class RefineConfig:
    """Settings of `refine`; the defaults were chosen on brains of 2 mm with intensities in [0, 1].

    Raises:
        ValueError: a similarity that does not exist, or a number out of range.
    """

    steps: int = option(STEPS, "Number of steps of the optimiser, on all grids together; 0 returns the start.")
    similarity: str = option(
        "lncc",
        "Similarity that is maximised: local correlation, mean squared difference, or mutual information for images of "
        "unlike contrast.",
        choices=tuple(WEIGHTS),
    )
    window: int = option(7, "Edge of the window of LNCC, in voxels of each grid.")
    image_sigma: float = option(0.05, "Standard deviation of the image noise for MSE, in units of intensity.")
    bins: int = option(32, "Largest number of bins of MI's histograms; small blocks and images have fewer.")
    patch: int = option(
        24,
        "Edge of the blocks that each have their own histogram for MI, in voxels of each grid; 0 for one block of all.",
    )
    weight: float | None = option(
        None,
        "Weight of the mean squared derivative of the displacement, beside a similarity of order 1; None for the "
        "similarity's default in `WEIGHTS`.",
    )
    fold_weight: float = option(
        10.0, "Weight of `folding_penalty`, which is 0 until a simplex of the grid loses four fifths of its volume."
    )
    smoothing: float | None = option(
        None,
        "Standard deviation of the Gaussian that smooths a given velocity before the first step, in cells; None for 4 "
        "if 50 steps or more follow and their time is not limited, otherwise 0.",
    )
    learning_rate: float = option(
        0.3,
        "Learning rate of Adam, in cells of each grid per step (a cell is two voxels); it falls to a tenth over each "
        "grid's steps, along a cosine.",
    )
    seconds: float = option(
        0.0,
        "Time after which no further step begins, in seconds; 0 for no limit. The first step of a process includes "
        "compiling.",
    )
    tolerance: float = option(1e-4, "Decrease of the loss below which a step makes no progress.")
    patience: int = option(10, "Number of steps without progress after which a grid is left.")
    integration_steps: int = option(5, "Number of squarings that integrate the velocity.")

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("steps", "weight", "fold_weight", "smoothing", "seconds", "tolerance", "integration_steps"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is 0 or more; got {value}.")
        for name in ("learning_rate", "patience"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is more than 0; got {getattr(self, name)}.")
