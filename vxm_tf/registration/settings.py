"""Settings of a registration's computation, for files and arrays alike."""

import dataclasses
import math
import numbers
from collections.abc import Sequence

import numpy as np

from vxm_tf.configuration import check_choices, check_types, described, option
from vxm_tf.files.errors import InputError

AFFINES = ("none", "header", "register")
SIMILARITIES = ("lncc", "mse", "mi")


@described
@dataclasses.dataclass(frozen=True)
class RegistrationSettings:
    """Settings of `register_images`; they hold no paths.

    Raises:
        InputError: a choice that does not exist, or a number out of range.
    """

    affine: str = option(
        "header",
        "How the images are brought together before anything is deformed. header: both lie where their headers say. "
        "register: an affine transform is searched for, starting from the headers (extra affine). none: headers are "
        "ignored and voxel i lies on voxel i, for images that share one grid.",
        choices=AFFINES,
    )
    dof: int = option(
        12,
        "Degrees of freedom of the affine search: 6 rigid, 7 with one scale, 9 with a scale for each axis, 12 affine; "
        "in 2-D 3 rigid, 4 with one scale, 6 affine.",
    )
    window: tuple[float, ...] = option(
        (),
        "Lowest and highest intensity to align by, with a comma between, such as 0,100 for the brain in CT: the "
        "transform is estimated from images clipped to it, in every channel; moved images keep their values. Empty for "
        "all intensities.",
    )
    moving_window: tuple[float, ...] = option((), "Window of the moving image alone, in place of that of both images.")
    fixed_window: tuple[float, ...] = option((), "Window of the fixed image alone, in place of that of both images.")
    similarity: str = option(
        "lncc",
        "Similarity that optimisation maximises: local correlation, mean squared difference, or, for images of unlike "
        "contrast, mutual information; the verdict is then based on edges alone.",
        choices=SIMILARITIES,
    )
    refine: int = option(
        -1,
        "Number of optimisation steps for this pair, from the network's answer or from the identity; -1 stands for 0 "
        "with a network and for 75 without.",
    )
    refine_seconds: float = option(0.0, "Time limit of the optimisation, in seconds; 0 for no limit.")
    repair: bool = option(
        False,
        "Repair a transform that fails its certificate, and its inverse, before any image is moved. One that passes "
        "stays the same bit for bit.",
    )
    uncertainty: bool = option(
        False, "Estimate the standard deviation of the displacement over plausible registrations."
    )
    error_bound: bool = option(
        False, "Estimate the radius that holds the true displacement; for a network that vxm-calibrate has measured."
    )
    samples: int = option(
        0,
        "Number of registrations from which uncertainty and error bound are estimated; 0 stands for 16 where one of "
        "them is asked for, and for none otherwise.",
    )
    spacing_mm: float = option(
        0.0,
        "Voxel size to register at, in millimetres, where the model records none; 0 for the fixed image's own (without "
        "a network, coarser where that would be slow).",
    )
    orientation: str = option(
        "", "Axes to register in, such as LIA, where the model records none; empty for the fixed image's own."
    )

    fill_value: float | None = option(
        None,
        "Value of the moved image outside the moving image's field of view. If it is not given, the moving image's own "
        "background: the value that surrounds it, else the lowest one in CT, which is air, and 0 in other images.",
    )

    def __post_init__(self) -> None:
        for name in ("window", "moving_window", "fixed_window"):
            object.__setattr__(self, name, _checked_window(name, getattr(self, name)))
        check_types(self)
        check_choices(self)
        if self.fill_value is not None and not (
            isinstance(self.fill_value, numbers.Real) and math.isfinite(self.fill_value)
        ):
            raise InputError(f"fill_value is a finite number or None; got {self.fill_value!r:.200}.")
        if self.samples < 0 or self.samples == 1:
            raise InputError(f"samples is 2 or more, or 0; got {self.samples}.")
        # Neither comparison holds for NaN.
        if self.refine < -1 or not (self.refine_seconds >= 0 and self.spacing_mm >= 0):
            raise InputError("refine is -1 or a number of steps; refine_seconds and spacing_mm are 0 or more.")

    @property
    def estimates_spread(self) -> bool:
        """Whether the pair is registered several times to see how far the answers lie apart."""
        return self.uncertainty or self.error_bound or self.samples > 0


def _checked_window(name: str, window: Sequence[float] | np.ndarray | None) -> tuple[float, ...]:
    """(lowest, highest) as numbers; empty for no window.

    Raises:
        InputError: anything but two finite numbers, the lower one first.
    """
    try:
        ends = tuple(float(end) for end in ([] if window is None else window))
    except (TypeError, ValueError):
        ends = (math.nan,)
    if ends and not (len(ends) == 2 and -math.inf < ends[0] < ends[1] < math.inf):
        raise InputError(f"{name} is two numbers, the lowest and the highest intensity, such as 0,100; got {window!r}.")
    return ends
