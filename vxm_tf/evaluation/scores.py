"""Scores of one registered pair."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from vxm_tf import metrics

LabelScores: TypeAlias = dict[int, dict[str, float]]
"""For each label id its Dice and, where measured, hausdorff95_mm and mean_surface_mm."""


@dataclasses.dataclass(frozen=True)
class PairScores:
    """Scores of one method on one pair.

    Attributes:
        moving, fixed: names of the scans.
        method: "affine" for the images as they are stored, or "network".
        labels: scores by label id: Dice and, where measured, hausdorff95_mm and mean_surface_mm.
        fold_fraction: fraction of voxels with a Jacobian determinant of 0 or less.
        non_diffeomorphic_volume: fraction of the volume that folds, see `vxm_tf.metrics`.
        log_jacobian_std: standard deviation of the logarithm of the determinant.
        seconds: duration of the prediction, without building the graph.
        peak_memory_mib: highest memory of the whole process so far, in MiB.
    """

    moving: str
    fixed: str
    method: str
    labels: LabelScores
    fold_fraction: float = 0.0
    non_diffeomorphic_volume: float = 0.0
    log_jacobian_std: float = 0.0
    seconds: float = math.nan
    peak_memory_mib: float = math.nan

    def mean(self, name: str) -> float:
        """Mean over labels of "dice", "hausdorff95_mm" or "mean_surface_mm"; NaN where none is defined."""
        values = self._defined(name)
        return float(np.mean(values)) if values else math.nan

    def count(self, name: str) -> int:
        """Number of labels behind `mean(name)`: those for which the score is defined."""
        return len(self._defined(name))

    def _defined(self, name: str) -> list[float]:
        return [scores[name] for scores in self.labels.values() if not math.isnan(scores.get(name, math.nan))]


def label_scores(
    moved_labels: np.ndarray,
    fixed_labels: np.ndarray,
    labels: Sequence[int],
    spacing_mm: tuple[float, ...] | None = None,
) -> LabelScores:
    """Dice of each label, and its surface distances in mm where `spacing_mm` is given."""
    scores: LabelScores = {
        label: {"dice": value} for label, value in metrics.dice(moved_labels, fixed_labels, labels).items()
    }
    if not spacing_mm:
        return scores
    for label in labels:
        distance = metrics.surface_distances(moved_labels, fixed_labels, label, spacing_mm)
        scores[label]["hausdorff95_mm"] = distance.hausdorff95_mm
        scores[label]["mean_surface_mm"] = distance.mean_mm
    return scores


def deformation_scores(displacement: np.ndarray) -> dict[str, float]:
    """Fold fraction, non-diffeomorphic volume and log Jacobian deviation of a displacement `[*spatial, ndim]`."""
    return {
        "fold_fraction": metrics.fold_fraction(displacement),
        "non_diffeomorphic_volume": metrics.non_diffeomorphic_volume(displacement),
        "log_jacobian_std": metrics.log_jacobian_std(displacement),
    }
