"""Split conformal: what is promised on a held-out set holds on another one."""

import json

import keras
import numpy as np
import pytest

from vxm_tf.models import VxmProbabilistic
from vxm_tf.registration.calibration import calibrate, calibration_of, remember
from vxm_tf.registration.uncertainty import Uncertainty


def pairs_like(rng, count, voxels=400):
    """Errors of three components whose spread is known up to a factor of three."""
    pairs = []
    for _ in range(count):
        spread = rng.uniform(0.1, 2.0, voxels)
        error = 3.0 * spread * np.linalg.norm(rng.standard_normal((voxels, 3)), axis=-1)
        pairs.append((error, spread))
    return pairs


def coverage(pairs, bound):
    return np.mean([np.mean(error <= bound * spread) for error, spread in pairs])


@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.95])
def test_a_bound_covers_as_much_of_other_pairs(rng, wanted):
    found = calibrate(pairs_like(rng, 10), "samples", 16, wanted)
    assert abs(coverage(pairs_like(rng, 40), found.bound) - wanted) < 0.015
    assert (found.coverage, found.pairs, found.method, found.samples) == (wanted, 10, "samples", 16)


def test_the_bound_is_the_conformal_quantile():
    error = np.arange(1.0, 10.0)
    # Of 9 scores the ceil(10 * 0.5) = 5th, the ceil(10 * 0.9) = 9th.
    assert calibrate([(error, np.ones(9))], "samples", 2, 0.5).bound == 5.0
    assert calibrate([(error, np.ones(9))], "samples", 2, 0.9).bound == 9.0


def test_every_pair_counts_alike(rng):
    small, large = (rng.uniform(0.0, 1.0, 50), np.ones(50)), (rng.uniform(9.0, 10.0, 5000), np.ones(5000))
    assert calibrate([small, large], "samples", 2, 0.49).bound <= 1.0


def test_a_floor_stands_in_for_spreads_of_nothing():
    error, spread = np.ones(10), np.zeros(10)
    with pytest.raises(ValueError, match="Some spreads are 0"):
        calibrate([(error, spread)], "samples", 2)
    assert calibrate([(error, spread)], "samples", 2, floor_mm=0.5).bound == 2.0


@pytest.mark.parametrize(
    "pairs, settings, message",
    [
        ([], {}, "one pair or more"),
        ([(np.ones(3), np.ones(4))], {}, "an error and a spread for each"),
        ([(np.ones(3), np.ones(3))], {"coverage": 1.0}, "between 0 and 1; got 1.0"),
    ],
)
def test_what_calibrates_nothing_is_refused(pairs, settings, message):
    with pytest.raises(ValueError, match=message):
        calibrate(pairs, "samples", 2, **settings)


def test_it_is_saved_with_the_network(rng, tmp_path):
    network = VxmProbabilistic((16, 16), features=(4,), iterations=(1,))
    assert calibration_of(network, "samples") is None
    for method in ("samples", "perturbations"):
        remember(network, calibrate(pairs_like(rng, 2), method, 16))
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    for method in ("samples", "perturbations"):
        assert calibration_of(loaded, method) == calibration_of(network, method)
    json.dumps(loaded.metadata)


def test_applied_it_says_bound_and_coverage(rng):
    spread = rng.uniform(0.1, 1.0, (4, 5)).astype("float32")
    found = Uncertainty(spread, spread, 16, "samples")
    calibration = calibrate(pairs_like(rng, 2), "samples", 16, floor_mm=0.25)
    answer = calibration.applied(found)
    np.testing.assert_allclose(answer.displacement_std_mm, spread + 0.25)
    assert (answer.bound, answer.coverage) == (calibration.bound, 0.9)
    with pytest.raises(ValueError, match="of samples, the uncertainty of perturbations"):
        calibration.applied(Uncertainty(spread, spread, 16, "perturbations"))
