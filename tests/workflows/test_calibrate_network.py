"""Calibrating a network writes one that knows how large its errors are."""

import keras
import numpy as np
import pytest

from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.files.errors import InputError
from vxm_tf.models import VxmProbabilistic, VxmPyramid
from vxm_tf.registration import displacement_by
from vxm_tf.trust import pair_uncertainty
from vxm_tf.trust.uncertainty import known_pairs
from vxm_tf.trust.uncertainty.calibration import Calibration, calibration_of, remember
from vxm_tf.trust.uncertainty.known_pairs import phantom_pairs
from vxm_tf.workflows.calibrate_network import CalibrateConfig, calibrate_file, known_errors

SMALL = {"features": (4, 6), "iterations": (2, 2)}
SHAPE = (48, 56)


@pytest.fixture
def model(tmp_path):
    VxmPyramid(SHAPE, **SMALL).save(tmp_path / "model.keras")
    return str(tmp_path / "model.keras")


def config(model, tmp_path, **settings):
    # Three pairs cannot promise 90 %.
    settings = {
        "pairs": 3,
        "samples": 4,
        "coverage": 0.8,
        "output": str(tmp_path / "new" / "calibrated.keras"),
        **settings,
    }
    return CalibrateConfig(model=model, **settings)


def test_the_network_stays_and_knows_its_errors(model, tmp_path):
    found = calibrate_file(config(model, tmp_path))
    written, before = (keras.models.load_model(path) for path in (tmp_path / "new" / "calibrated.keras", model))
    assert calibration_of(written, "perturbations") == found
    assert (found.pairs, found.samples, found.source) == (3, 4, "phantoms of 48 x 56 voxels")
    for one, other in zip(written.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_older_calibration_does_not_stand_in_the_way(model, tmp_path):
    network = keras.models.load_model(model)
    remember(network, Calibration(1.0, 0.8, {"a feature of old": 1.0}, "perturbations", 4, 3))
    network.save(tmp_path / "old.keras")
    assert calibrate_file(config(str(tmp_path / "old.keras"), tmp_path)) == calibrate_file(config(model, tmp_path))


def test_it_covers_pairs_like_those_and_says_which_are_not(model, tmp_path, monkeypatch):
    found = calibrate_file(config(model, tmp_path, pairs=8))
    network = keras.models.load_model(model)
    rows = [known_errors(network, pair, 4) for pair in phantom_pairs(SHAPE, 8, seed=9)]
    assert abs(np.mean([np.mean(error <= found.radius(features)) for error, features in rows]) - 0.8) < 0.12

    def beyond(network, pair):
        register = displacement_by(network)
        images, settings = (pair.moving, pair.fixed), {"refined": False, "linear": np.eye(2), "samples": 4}
        return pair_uncertainty(*images, register(*images), register, network, **settings).beyond

    network = keras.models.load_model(tmp_path / "new" / "calibrated.keras")
    inside = [beyond(network, pair) for pair in phantom_pairs(SHAPE, 8, seed=9)]
    monkeypatch.setattr(known_pairs, "MAGNITUDES", (0.08, 0.1))
    outside = [beyond(network, pair) for pair in phantom_pairs(SHAPE, 8, seed=10)]
    assert sum(map(bool, inside)) <= 3 and sum(map(bool, outside)) >= 7


def test_the_promise_names_pairs_and_interval(model, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    found = calibrate_file(config(model, tmp_path))
    low, high = 100 * found.lowest_coverage, 100 * found.highest_coverage
    assert low < 80 < high
    assert "Measured on 3 pairs: the promise of 80 % holds on average" in caplog.text
    assert f"{low:.0f} to {high:.0f} %" in caplog.text


def test_scans_are_deformed_in_a_known_way(model, tmp_path):
    for seed, shape in ((1, SHAPE), (2, SHAPE)):
        np.savez(tmp_path / f"scan{seed}.npz", vol=phantom(shape, seed).image)
    found = calibrate_file(config(model, tmp_path, data_dir=str(tmp_path)))
    assert found.source == "2 scans, each deformed twice" and found.pairs == 3
    assert found.grid == {"shape": [48, 56]}


def test_errors_of_thick_slices_are_measured_in_millimetres(model, tmp_path):
    """With voxels of 1 x 4 mm, an error of one voxel along the second axis is four times one along the first."""
    network = keras.models.load_model(model)
    pair = next(phantom_pairs(SHAPE, 1, seed=4, spacing_mm=(1.0, 4.0)))
    displacement = displacement_by(network)(pair.moving, pair.fixed)
    expected_mm = np.linalg.norm((displacement - pair.displacement) * [1.0, 4.0], axis=-1)[pair.inside]
    # The mean voxel size is the geometric mean, 2 mm.
    np.testing.assert_allclose(known_errors(network, pair, 2)[0] * 2.0, expected_mm, rtol=1e-3, atol=1e-3)


def test_a_probabilistic_network_is_calibrated_by_its_samples(tmp_path):
    VxmProbabilistic((None, None), **SMALL).save(tmp_path / "model.keras")
    found = calibrate_file(config(str(tmp_path / "model.keras"), tmp_path, pairs=2, samples=2))
    assert (found.method, found.source) == ("samples", "phantoms of 128 x 128 voxels")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"output": "calibrated.h5"}, "written as .keras"),
        ({"pairs": 1}, "2 or more; got 1 and 4"),
        ({"samples": 1}, "2 or more; got 3 and 1"),
        ({"coverage": 1.5}, "between 0 and 1; got 1.5"),
        ({"coverage": 0.9}, "3 pairs cannot promise a coverage of 90 %, at most 87.5 %: calibrate on 4 pairs"),
        ({"data_dir": "nowhere"}, "no such folder"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(model, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        calibrate_file(config(model, tmp_path, **settings))


def test_phantoms_have_one_channel(tmp_path):
    VxmPyramid(SHAPE, channels=(2, 2), **SMALL).save(tmp_path / "model.keras")
    with pytest.raises(InputError, match="takes 2; give --data_dir"):
        calibrate_file(config(str(tmp_path / "model.keras"), tmp_path))
