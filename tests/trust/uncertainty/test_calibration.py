"""What is promised on some pairs holds on others, on average over pairs, and places that err more get more."""

import json

import keras
import numpy as np
import pytest

from vxm_tf.files.errors import InputError
from vxm_tf.models import VxmProbabilistic
from vxm_tf.trust.uncertainty.calibration import SMALL, Calibration, calibrate, calibration_of, remember
from vxm_tf.trust.uncertainty.spread import Uncertainty

# log(scale of the error) = 0.8 spread - 0.5 texture + 0 noise
TRUE = {"spread": 0.8, "texture": -0.5, "noise": 0.0}


def pairs_like(rng, count, voxels=400):
    """Errors of three components whose scale two of three features tell."""
    pairs = []
    for _ in range(count):
        features = {name: rng.normal(0.0, 1.0, voxels) for name in TRUE}
        scale = np.exp(sum(weight * features[name] for name, weight in TRUE.items()))
        pairs.append((scale * np.linalg.norm(rng.standard_normal((voxels, 3)), axis=-1), features))
    return pairs


def coverage(pairs, calibration):
    return np.mean([np.mean(error <= calibration.radius(features)) for error, features in pairs])


@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.95])
def test_a_bound_covers_as_much_of_other_pairs(rng, wanted):
    found = calibrate(pairs_like(rng, 10), "samples", 16, wanted)
    assert found.lowest_coverage <= wanted + 0.01 and found.highest_coverage >= wanted - 0.01
    assert abs(coverage(pairs_like(rng, 40), found) - wanted) < 0.015
    assert (found.coverage, found.pairs, found.method, found.samples) == (wanted, 10, "samples", 16)


def test_what_makes_errors_large_is_found(rng):
    found = calibrate(pairs_like(rng, 20), "samples", 16)
    for name, weight in TRUE.items():
        assert abs(found.weights[name] - weight) < 0.03
    # 90 % of the norms of three normal numbers are below 2.5.
    assert abs(found.bound - 2.5) < 0.1


def test_no_pair_judges_a_prediction_that_it_made():
    # Each pair's errors follow its own feature with the opposite sign: learned from itself, nothing would be left over.
    feature = np.repeat([-1.0, 1.0], 50)
    pairs = [(np.exp(sign * 3.0 * feature), {"spread": feature}) for sign in (1.0, -1.0)]
    # Predicted by the other, every error is off by exp(6 weights of nearly 3): the bound must be about as large.
    assert np.log(calibrate(pairs, "samples", 2, 0.8).bound) > 5.5


def test_the_bound_is_the_conformal_quantile():
    error, nothing = np.arange(1.0, 10.0), {"spread": np.zeros(9)}
    # Of 18 scores the ceil(19 * 0.5) = 10th, the ceil(19 * 0.8) = 16th; of 63 the ceil(64 * 0.9) = 58th. 0.01 is what
    # errors are not told apart by. Pairs that are all alike need no more.
    for count, wanted, expected in ((2, 0.5, 5.01), (2, 0.8, 8.01), (7, 0.9, 9.01)):
        assert calibrate([(error, nothing)] * count, "samples", 2, wanted).bound == pytest.approx(expected)


def test_every_pair_counts_alike(rng):
    """Nine tenths of the voxels belong to one pair, but the bound lies as much below it as above the others."""
    sizes = [50, 50, 50, 50, 5000]
    found = calibrate(scaled_pairs(rng, [1.0, 1.0, 1.0, 1.0, 4.0], sizes), "samples", 2, 0.5)
    alike = calibrate(scaled_pairs(rng, [1.0, 1.0, 1.0, 1.0, 4.0], [1000] * 5), "samples", 2, 0.5)
    assert found.bound == pytest.approx(alike.bound, rel=0.2)


def scaled_pairs(rng, scales, sizes):
    """Errors of three components, with one scale for each pair, which no feature tells."""
    nothing = {size: {"spread": np.zeros(size)} for size in sizes}
    norms = [np.linalg.norm(rng.standard_normal((size, 3)), axis=-1) for size in sizes]
    return [(scale * norm, nothing[len(norm)]) for scale, norm in zip(scales, norms, strict=True)]


def average_coverage(rng, count, wanted, deviation=0.5, repetitions=200):
    """Coverage of further pairs, averaged over calibrations on `count` pairs whose scales are lognormal."""
    scales = rng.lognormal(0.0, deviation, (repetitions, count))
    bounds = [calibrate(scaled_pairs(rng, each, [100] * count), "samples", 2, wanted).bound for each in scales]
    further = rng.lognormal(0.0, deviation, 200_000) * np.linalg.norm(rng.standard_normal((200_000, 3)), axis=-1)
    return np.mean(np.searchsorted(np.sort(further + SMALL), bounds) / len(further))


@pytest.mark.parametrize("count, wanted", [(6, 0.9), (16, 0.9), (16, 0.95), (4, 0.8)])
def test_pairs_of_unlike_scale_are_covered_as_promised_on_average(rng, count, wanted):
    # By the rank among voxels: 6 pairs 87, 16 pairs at 95 % 94, and 4 pairs 76 %.
    assert wanted - 0.01 < average_coverage(rng, count, wanted) < wanted + 0.025


def test_eight_of_ten_further_pairs_lie_within_the_stated_interval(rng):
    within = []
    for _ in range(150):
        scales = rng.lognormal(0.0, 0.5, 9)
        found = calibrate(scaled_pairs(rng, scales[:8], [200] * 8), "samples", 2)
        ((error, features),) = scaled_pairs(rng, scales[8:], [2000])
        within.append(found.lowest_coverage <= np.mean(error <= found.radius(features)) <= found.highest_coverage)
    assert 0.68 < np.mean(within) < 0.92


@pytest.mark.parametrize(
    "count, wanted, needed", [(2, 0.9, 4), (3, 0.9, 4), (6, 0.95, 9), (6, 0.99, 49), (16, 0.99, 49)]
)
def test_what_so_few_pairs_cannot_promise_is_refused(rng, count, wanted, needed):
    with pytest.raises(InputError, match=f"{count} pairs cannot promise .* on {needed} pairs or more"):
        calibrate(scaled_pairs(rng, [1.0] * count, [50] * count), "samples", 2, wanted)
    assert calibrate(scaled_pairs(rng, [1.0] * needed, [50] * needed), "samples", 2, wanted).coverage == wanted


def test_pairs_too_unlike_for_a_finite_bound_are_refused(rng):
    with pytest.raises(InputError, match="no finite bound"):
        calibrate(scaled_pairs(rng, [1e-9, 1e60], [50, 50]), "samples", 2, 0.8)


def test_features_beyond_those_of_the_calibration_do_not_extrapolate():
    feature = np.linspace(0.0, 1.0, 100)
    found = calibrate([(np.exp(50.0 * feature), {"spread": feature})] * 4, "samples", 2, 0.5)
    edge = found.radius({"spread": np.array([0.0, 1.0])})
    # By extrapolation exp(50 * 10) voxels, infinite in float32.
    np.testing.assert_array_equal(found.radius({"spread": np.array([-10.0, 10.0])}), edge)
    assert np.isfinite(edge).all()


@pytest.mark.parametrize(
    "pairs, settings, message",
    [
        ([], {}, "two pairs or more; got 0"),
        ([(np.ones(3), {"spread": np.ones(3)})], {}, "two pairs or more; got 1"),
        ([(np.ones(3), {"spread": np.ones(4)})], {}, "an error and every feature"),
        ([(np.ones(3), {})], {}, "an error and every feature"),
        ([(np.ones(3), {"a": np.ones(3)}), (np.ones(3), {"b": np.ones(3)})], {}, "an error and every feature"),
        ([(np.full(3, np.nan), {"spread": np.ones(3)})], {}, "NaN or infinite"),
        ([(np.ones(3), {"spread": np.ones(3)})], {"coverage": 1.0}, "between 0 and 1; got 1.0"),
    ],
)
def test_what_calibrates_nothing_is_refused(pairs, settings, message):
    with pytest.raises(ValueError, match=message):
        calibrate(pairs, "samples", 2, **settings)


def test_it_is_saved_with_the_network(rng, tmp_path):
    network = VxmProbabilistic((16, 16), features=(4,), iterations=(1,))
    assert calibration_of(network, "samples") is None
    for method in ("samples", "perturbations"):
        measured = {"measures": [{"spread": 0.5}, {"spread": 2.5}], "grid": {"shape": [16, 16]}}
        remember(network, calibrate(pairs_like(rng, 2), method, 16, 0.8, source="phantoms", **measured))
    assert calibration_of(network, "samples").largest == {"spread": 2.5}
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    for method in ("samples", "perturbations"):
        assert calibration_of(loaded, method) == calibration_of(network, method)
    json.dumps(loaded.metadata)


def test_applied_it_says_bound_and_coverage():
    found = Uncertainty(np.ones((4, 5)), 16, "samples")
    calibration = Calibration(2.0, 0.9, {"spread": 1.0, "texture": -1.0}, "samples", 16, 2)
    features = {"spread": np.full((4, 5), np.log(3.0)), "texture": np.zeros((4, 5)), "edge": np.ones((4, 5))}
    answer = calibration.applied(found, features, spacing_mm=1.5)
    np.testing.assert_allclose(answer.bound_mm, np.full((4, 5), 2.0 * 3.0 * 1.5), rtol=1e-6)
    assert (answer.coverage, answer.summary()["median_bound_mm"]) == (0.9, pytest.approx(9.0))
    assert "median_bound_mm" not in found.summary()
    with pytest.raises(ValueError, match="missing: texture"):
        calibration.applied(found, {"spread": features["spread"]}, 1.0)
    with pytest.raises(ValueError, match="of samples, the uncertainty of perturbations"):
        calibration.applied(Uncertainty(found.displacement_std_mm, 16, "perturbations"), features, 1.0)
