"""Scores of one registered pair."""

import dataclasses
import math

import numpy as np

from vxm_tf import metrics


@dataclasses.dataclass(frozen=True)
class PairScores:
    """What one method did to one pair.

    Attributes:
        moving, fixed: names of the scans.
        method: "affine" for the images as they came, or "network".
        labels: for each label id its Dice and, where measured, hausdorff95_mm and mean_surface_mm.
        fold_fraction: voxels with a Jacobian determinant of 0 or less, over all voxels.
        non_diffeomorphic_volume: fraction of the volume, see `vxm_tf.metrics`.
        log_jacobian_std: standard deviation of the logarithm of the determinant.
        seconds: of the steady prediction.
        peak_memory_mib: highest memory of the whole process until then.
    """

    moving: str
    fixed: str
    method: str
    labels: dict
    fold_fraction: float = 0.0
    non_diffeomorphic_volume: float = 0.0
    log_jacobian_std: float = 0.0
    seconds: float = math.nan
    peak_memory_mib: float = math.nan

    def mean(self, name: str) -> float:
        """Mean over labels of "dice", "hausdorff95_mm" or "mean_surface_mm"; NaN where none is defined."""
        values = [scores[name] for scores in self.labels.values() if not math.isnan(scores.get(name, math.nan))]
        return float(np.mean(values)) if values else math.nan


def label_scores(moved_labels, fixed_labels, labels, spacing_mm=None) -> dict:
    """Dice, and surface distances in mm where `spacing_mm` is given, of each label."""
    scores = {label: {"dice": value} for label, value in metrics.dice(moved_labels, fixed_labels, labels).items()}
    for label in labels if spacing_mm else ():
        distance = metrics.surface_distances(moved_labels, fixed_labels, label, spacing_mm)
        scores[label]["hausdorff95_mm"] = distance.hausdorff95_mm
        scores[label]["mean_surface_mm"] = distance.mean_mm
    return scores


def deformation_scores(displacement) -> dict:
    """Fold fraction, non-diffeomorphic volume and spread of the log Jacobian of `[*spatial, ndim]`."""
    return {
        "fold_fraction": metrics.fold_fraction(displacement),
        "non_diffeomorphic_volume": metrics.non_diffeomorphic_volume(displacement),
        "log_jacobian_std": metrics.log_jacobian_std(displacement),
    }
