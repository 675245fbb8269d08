"""Calibrating a network writes one that knows how large its errors are."""

import keras
import numpy as np
import pytest

from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.files.errors import InputError
from vxm_tf.models import VxmProbabilistic, VxmPyramid
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
    settings = {"pairs": 3, "samples": 4, "output": str(tmp_path / "new" / "calibrated.keras"), **settings}
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
    remember(network, Calibration(1.0, 0.9, {"a feature of old": 1.0}, "perturbations", 4, 3))
    network.save(tmp_path / "old.keras")
    assert calibrate_file(config(str(tmp_path / "old.keras"), tmp_path)) == calibrate_file(config(model, tmp_path))


def test_it_covers_pairs_like_those(model, tmp_path):
    found = calibrate_file(config(model, tmp_path, pairs=8, coverage=0.8))
    network = keras.models.load_model(model)
    rows = [known_errors(network, pair, 4) for pair in phantom_pairs(SHAPE, 8, seed=9)]
    assert abs(np.mean([np.mean(error <= found.radius(features)) for error, features in rows]) - 0.8) < 0.12


def test_scans_are_deformed_in_a_known_way(model, tmp_path):
    for seed, shape in ((1, SHAPE), (2, SHAPE)):
        np.savez(tmp_path / f"scan{seed}.npz", vol=phantom(shape, seed).image)
    found = calibrate_file(config(model, tmp_path, data_dir=str(tmp_path)))
    assert found.source == "2 scans, each deformed twice" and found.pairs == 3


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
