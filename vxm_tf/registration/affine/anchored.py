"""Local correlation of two crops, drawn to the position that their headers give."""

import dataclasses

import numpy as np

from vxm_tf.registration.affine.local_correlation import LocalCorrelation, Terms
from vxm_tf.registration.affine.scan import Lattice

# Loss of the measure's sum over both directions for points that lie one voxel, root mean square, from the anchor.
# Chosen from 0.02 to 0.2 on hippocampi: larger ones keep right headers no better and mend wrong ones less.
WEIGHT = 0.04


class AnchoredCorrelation(LocalCorrelation):
    """Local correlation, minus the mean square distance of the fixed points from where another transform maps them.

    Args:
        moving: lattice of the moving scan.
        fixed: lattice of the fixed scan.
        matrix: transform `[ndim + 1, ndim + 1]` from the fixed to the moving frame that roughly aligns them.
        anchor: transform `[ndim + 1, ndim + 1]` that the measure draws to.
    """

    def __init__(self, moving: Lattice, fixed: Lattice, matrix: np.ndarray, anchor: np.ndarray) -> None:
        super().__init__(moving, fixed, matrix)
        self.anchor = anchor
        points = self.fixed.points()
        points = np.vstack([points, np.ones_like(points[:1])]) / self.fixed.spacing_mm
        self.moment = WEIGHT * points @ points.T / points.shape[1]

    def terms(self, matrix: np.ndarray, derivatives: bool = True) -> tuple[Terms, Terms]:
        """Terms of both directions, with the whole penalty in the first; see `LocalCorrelation.terms`."""
        there, back = super().terms(matrix, derivatives)
        away = (matrix - self.anchor)[:-1]
        there = dataclasses.replace(there, score=there.score - float(np.trace(away @ self.moment @ away.T)))
        if there.gradient is not None and there.curvature is not None:
            there = dataclasses.replace(
                there,
                gradient=there.gradient - 2 * (away @ self.moment).ravel(),
                curvature=there.curvature + 2 * np.kron(np.eye(len(away)), self.moment),
            )
        return there, back
