"""How sure the registration of one pair is, by the way that suits what registered it."""

from collections.abc import Callable

import numpy as np
from absl import logging

from vxm_tf.models import VxmProbabilistic
from vxm_tf.trust.uncertainty.calibration import calibration_of
from vxm_tf.trust.uncertainty.error_features import error_features
from vxm_tf.trust.uncertainty.perturbation import perturbed_displacements
from vxm_tf.trust.uncertainty.spread import SAMPLES, Uncertainty, sampled_displacements, uncertainty_of


def method_of(network, refined: bool = False) -> str:
    """How the spread of what a network, or optimisation, registers is found: "samples" or "perturbations"."""
    return "samples" if isinstance(network, VxmProbabilistic) and not refined else "perturbations"


def is_calibrated(network) -> bool:
    """Whether a network, without steps of optimisation, knows how large its errors are."""
    return calibration_of(network, method_of(network)) is not None


def pair_uncertainty(
    moving, fixed, displacement, register: Callable, network=None, *, refined: bool, linear, **settings
) -> Uncertainty:
    """The `Uncertainty` of a pair, with a bound where the network was calibrated.

    Args:
        moving, fixed: float32 `[*spatial, channels]`, normalised, on one grid.
        displacement: `[*spatial, ndim]`, in voxels, that was found for them.
        register: see `pair_spread`.
        network: likewise.
        refined: likewise.
        linear: likewise.
        **settings: likewise: samples, seed, watch.
    """
    found = pair_spread(moving, fixed, register, network, refined=refined, linear=linear, **settings)
    # Another way to register has other errors than those that were measured.
    calibration = None if refined else calibration_of(network, found.method)
    if not calibration:
        return found
    if calibration.samples != found.samples:
        told = "The network's error bound was measured with %d samples; with %d it may hold more or fewer errors."
        logging.warning(told, calibration.samples, found.samples)
    voxel_mm = abs(np.linalg.det(linear)) ** (1 / len(linear))
    features = error_features(moving, fixed, displacement, found.displacement_std_mm / voxel_mm)
    return calibration.applied(found, features, voxel_mm)


def pair_spread(
    moving,
    fixed,
    register: Callable,
    network=None,
    *,
    refined: bool,
    linear,
    samples: int = SAMPLES,
    seed: int = 0,
    watch=(),
) -> Uncertainty:
    """How much registrations of a pair differ.

    A `VxmProbabilistic` alone draws samples of what it says of the pair. Any other network, and steps of optimisation,
    register the pair anew as often, see `perturbed_displacements`.

    Args:
        moving, fixed: float32 `[*spatial, channels]`, normalised, on one grid.
        register: (moving, fixed) to the displacement `[*spatial, ndim]` in voxels; the whole of what was done.
        network: that took part; None for none.
        refined: whether steps of optimisation did.
        linear: `[ndim, ndim]`, from voxels to millimetres.
        samples: how many, two or more.
        seed: of everything random.
        watch: see `uncertainty_of`.
    """
    method = method_of(network, refined)
    if method == "samples":
        displacements = sampled_displacements(network, moving, fixed, samples, seed)
    else:
        displacements = perturbed_displacements(register, moving, fixed, samples, seed)
    return uncertainty_of(_told(displacements, samples), linear, method, watch)


def _told(displacements, samples):
    """The same, with a line of log now and then."""
    for number, displacement in enumerate(displacements, 1):
        yield displacement
        if number % 4 == 0 or number == samples:
            logging.info("Uncertainty: %d of %d registrations.", number, samples)
