"""The uncertainty of one pair's registration, by the method that suits the network or the optimisation behind it."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from absl import logging

from vxm_tf.models import RegistrationNetwork, VxmProbabilistic
from vxm_tf.trust.uncertainty.calibrated_range import beyond, content, pair_measures
from vxm_tf.trust.uncertainty.calibration import calibration_of
from vxm_tf.trust.uncertainty.error_features import error_features
from vxm_tf.trust.uncertainty.perturbation import perturbed_displacements
from vxm_tf.trust.uncertainty.spread import SAMPLES, Uncertainty, sampled_displacements, uncertainty_of

Register: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Function from a moving and a fixed image to the displacement `[*spatial, ndim]` that aligns them, in voxels."""


def method_of(network: RegistrationNetwork | None, refined: bool = False) -> str:
    """Name of the method that measures the spread of a network's registrations, see `Uncertainty.method`.

    Args:
        network: network that registers the pair; None for optimisation alone.
        refined: whether steps of optimisation follow the network.
    """
    return "samples" if isinstance(network, VxmProbabilistic) and not refined else "perturbations"


def is_calibrated(network: RegistrationNetwork | None) -> bool:
    """Whether the errors of a network, without steps of optimisation, were measured by `calibrate`."""
    return calibration_of(network, method_of(network)) is not None


def pair_uncertainty(
    moving: np.ndarray,
    fixed: np.ndarray,
    displacement: np.ndarray,
    register: Register,
    network: RegistrationNetwork | None = None,
    *,
    refined: bool,
    linear: np.ndarray,
    **settings: Any,
) -> Uncertainty:
    """The `Uncertainty` of a pair's registration, with an error bound if the network was calibrated.

    A warning states that the pair lies outside what the bound was measured on, see `Uncertainty.beyond`.

    Args:
        moving, fixed: float32 `[*spatial, channels]`, normalised, on one grid.
        displacement: `[*spatial, ndim]`, in voxels, the registration whose uncertainty is estimated.
        register: see `pair_spread`.
        network: see `pair_spread`.
        refined: see `pair_spread`.
        linear: see `pair_spread`.
        **settings: samples and seed, see `pair_spread`.
    """
    uncertainty = pair_spread(moving, fixed, register, network, refined=refined, linear=linear, **settings)
    # Steps of optimisation have other errors than those that were measured for the network.
    calibration = None if refined else calibration_of(network, uncertainty.method)
    if not calibration:
        return uncertainty
    if calibration.samples != uncertainty.samples:
        message = "The network's error bound was measured with %d samples; with %d it may hold more or fewer errors."
        logging.warning(message, calibration.samples, uncertainty.samples)
    voxel_mm = abs(np.linalg.det(linear)) ** (1 / len(linear))
    units = linear / voxel_mm
    features = error_features(moving, fixed, displacement, uncertainty.displacement_std_mm / voxel_mm, units)
    measures = pair_measures(displacement @ units.T, features, content(fixed))
    sizes_mm = np.linalg.norm(linear, axis=0)
    outside = beyond(measures, calibration.largest, sizes_mm, calibration.grid.get("spacing_mm", ()))
    if outside:
        logging.warning(
            "This pair lies outside what the error bound was measured on, so the bound may hold fewer errors than %g "
            "%%: %s.",
            100 * calibration.coverage,
            "; ".join(outside),
        )
    return dataclasses.replace(calibration.applied(uncertainty, features, voxel_mm), beyond=outside)


def pair_spread(
    moving: np.ndarray,
    fixed: np.ndarray,
    register: Register,
    network: RegistrationNetwork | None = None,
    *,
    refined: bool,
    linear: np.ndarray,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Uncertainty:
    """Measure the spread of plausible registrations of a pair.

    A `VxmProbabilistic` alone draws samples of its predicted distribution. For any other network, and with steps of
    optimisation, perturbed copies of the pair are registered, see `perturbed_displacements`.

    Args:
        moving, fixed: float32 `[*spatial, channels]`, normalised, on one grid.
        register: function that registers two images as the pair was registered, with both network and optimisation.
        network: network that registered the pair; None for optimisation alone.
        refined: whether steps of optimisation took part.
        linear: `[ndim, ndim]` matrix from voxels to millimetres.
        samples: number of registrations, two or more.
        seed: seed of every random draw.
    """
    method = method_of(network, refined)
    displacements: Iterable[np.ndarray]
    if isinstance(network, VxmProbabilistic) and method == "samples":
        displacements = sampled_displacements(network, moving, fixed, samples, seed)
    else:
        displacements = perturbed_displacements(register, moving, fixed, samples, seed)
    return uncertainty_of(_with_progress(displacements, samples), linear, method)


def _with_progress(displacements: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Yield the displacements and log every fourth."""
    for number, displacement in enumerate(displacements, 1):
        yield displacement
        if number % 4 == 0 or number == samples:
            logging.info("Uncertainty: %d of %d registrations.", number, samples)
