"""How sure the volume and the overlap of moved structures are."""

import dataclasses

import numpy as np

from vxm_tf.metrics import dice
from vxm_tf.registration.pair import warp_labels
from vxm_tf.registration.uncertainty import RunningMoments

NORMAL_90 = 1.645


@dataclasses.dataclass(frozen=True)
class Interval:
    """Of one number.

    Attributes:
        mean: over the registrations.
        low, high: of the interval.
    """

    mean: float
    low: float
    high: float


class StructureSamples:
    """Volume, and Dice with the fixed image's segmentation, of each label under one registration after another.

    Args:
        moving_labels: integers `[*spatial]`.
        labels: the ids.
        voxel_volume: of a voxel of the fixed grid, mm^3.
        fixed_labels: integers `[*spatial]`; None where nobody has segmented the fixed image.
    """

    def __init__(self, moving_labels, labels, voxel_volume, fixed_labels=None):
        self.moving_labels, self.fixed_labels = moving_labels, fixed_labels
        self.labels, self.voxel_volume = tuple(labels), voxel_volume
        self._volumes, self._dice = RunningMoments(), RunningMoments()

    def look(self, displacement):
        """One more registration, `[*spatial, ndim]` in voxels."""
        moved = warp_labels(self.moving_labels, displacement)
        counts = [np.count_nonzero(moved == label) for label in self.labels]
        self._volumes.add(self.voxel_volume * np.array(counts, "float64"))
        if self.fixed_labels is not None:
            overlaps = dice(moved, self.fixed_labels, self.labels)
            self._dice.add(np.array([overlaps[label] for label in self.labels]))

    def volumes_mm3(self, deviations: float = NORMAL_90) -> dict:
        """{label: `Interval`}, so many standard deviations to either side; 1.645 hold 90 % of a normal distribution."""
        return self._intervals(self._volumes, deviations)

    def dice(self, deviations: float = NORMAL_90) -> dict:
        """The same of Dice; empty without a segmentation of the fixed image. NaN where no map holds the label."""
        return self._intervals(self._dice, deviations, highest=1.0) if self._dice.count else {}

    def _intervals(self, moments, deviations, highest=np.inf):
        reach = deviations * np.sqrt(moments.variance)
        low, high = np.maximum(moments.mean - reach, 0.0), np.minimum(moments.mean + reach, highest)
        numbers = zip(self.labels, moments.mean, low, high, strict=True)
        return {label: Interval(*map(float, values)) for label, *values in numbers}
