"""Checks of a registration: whether it folds, whether it looks sound, and how large its error may be."""

from vxm_tf.trust.folds.certificate import Certificate, certify
from vxm_tf.trust.folds.repair import Repair, repair
from vxm_tf.trust.gate.verdict import Verdict, judge
from vxm_tf.trust.uncertainty.calibration import Calibration, calibrate
from vxm_tf.trust.uncertainty.pair_spread import pair_uncertainty
from vxm_tf.trust.uncertainty.spread import Uncertainty

__all__ = [
    "Calibration",
    "Certificate",
    "Repair",
    "Uncertainty",
    "Verdict",
    "calibrate",
    "certify",
    "judge",
    "pair_uncertainty",
    "repair",
]
