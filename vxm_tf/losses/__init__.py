"""Losses for registration networks: similarity, overlap and regularity."""

from vxm_tf.losses.kl_divergence import LaplacianKL
from vxm_tf.losses.mutual_information import MutualInformation
from vxm_tf.losses.regularity import BendingEnergy, GradientPenalty
from vxm_tf.losses.similarity import LNCC, MSE
from vxm_tf.losses.soft_dice import SoftDice

__all__ = ["LNCC", "MSE", "BendingEnergy", "GradientPenalty", "LaplacianKL", "MutualInformation", "SoftDice"]
