"""Whether a pair resembles those that a bound was measured on."""

from collections.abc import Mapping, Sequence

import numpy as np

from vxm_tf.metrics import foreground

# Measure -> (its description, whether it is a length). A pair with more of any of them than every pair of the
# calibration is covered less than promised; less of them does no harm.
WATCHED = {
    "displacement": ("root mean square displacement", True),
    "spread": ("mean spread", True),
    "detail": ("mean detail of the displacement", True),
    "misfit": ("mean of 1 - local correlation", False),
}
# Voxel sizes that differ by less, as a fraction, are one size.
SAME_SIZE = 0.1
NO_RANGE = "the calibration is of an older version and records no range; measure it again with vxm-calibrate"


def content(image: np.ndarray) -> np.ndarray:
    """The voxels that show something in any channel, bool `[*spatial]`; all of them where no channel has contrast.

    Args:
        image: float `[*spatial, channels]`, normalised to [0, 1].
    """
    inside = np.any([foreground(channel) for channel in np.moveaxis(image, -1, 0)], axis=0)
    return inside if inside.any() else np.ones_like(inside)


def pair_measures(displacement: np.ndarray, features: Mapping[str, np.ndarray], inside: np.ndarray) -> dict[str, float]:
    """The measures of a pair that a calibration keeps the largest of.

    Args:
        displacement: `[*spatial, ndim]`, in units of the mean voxel size.
        features: maps `[*spatial]` from `error_features`, logarithms.
        inside: bool `[*spatial]`, the voxels that count.

    Returns:
        {name: value}: the root mean square displacement, and the geometric mean of each watched feature.
    """
    squares = np.square(displacement[inside]).sum(-1)
    means = {name: float(np.exp(features[name][inside].mean())) for name in WATCHED if name in features}
    return {"displacement": float(np.sqrt(squares.mean())), **means}


def beyond(
    measures: Mapping[str, float],
    largest: Mapping[str, float],
    spacing_mm: Sequence[float],
    calibrated_mm: Sequence[float],
) -> tuple[str, ...]:
    """Reasons why a pair lies outside the range of a calibration; empty if it lies within.

    Args:
        measures: measures of the pair, see `pair_measures`.
        largest: largest value of each measure over the pairs of the calibration.
        spacing_mm: voxel size of the pair along each axis, in millimetres.
        calibrated_mm: voxel size of the calibration; empty if its images had none.
    """
    if not largest:
        return (NO_RANGE,)
    voxel_mm = mean_size(spacing_mm)
    reasons = []
    for name, limit in largest.items():
        description, is_length = WATCHED[name]
        if measures[name] > limit:
            unit, factor = (" mm", voxel_mm) if is_length else ("", 1.0)
            reasons.append(
                f"{description} of {measures[name] * factor:.3g}{unit}, in the calibration at most "
                f"{limit * factor:.3g}{unit}"
            )
    if len(calibrated_mm) and np.abs(np.log(np.divide(spacing_mm, calibrated_mm))).max() > SAME_SIZE:
        sizes = (" x ".join(f"{size:.3g}" for size in sizes) for sizes in (spacing_mm, calibrated_mm))
        reasons.append("voxels of {} mm, in the calibration of {} mm".format(*sizes))
    return tuple(reasons)


def mean_size(spacing_mm: Sequence[float]) -> float:
    """Geometric mean of a voxel size along each axis, in millimetres."""
    return float(np.exp(np.mean(np.log(spacing_mm))))
