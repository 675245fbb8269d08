"""Scans, network, precision, losses and learning rate are those that the configuration names."""

import dataclasses

import numpy as np
import pytest

from vxm_tf import losses
from vxm_tf.data import Scan, ScanStore
from vxm_tf.evaluation import EvaluateConfig
from vxm_tf.evaluation.run_evaluation import find_pairs
from vxm_tf.files import InputError
from vxm_tf.models import VxmDense
from vxm_tf.training import TrainConfig, assembly, scans


@pytest.fixture
def folder(tmp_path, rng):
    """Ten scans side by side, in no train or val folder."""
    for k in range(10):
        np.savez(tmp_path / f"scan{k}.npz", vol=rng.random((8, 9)), seg=np.ones((8, 9), "uint8"))
    return tmp_path


def test_precision_is_the_policy_of_its_name():
    choices = {"off": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}
    assert {choice: assembly.precision_policy(choice) for choice in choices} == choices


@pytest.mark.parametrize(
    "capabilities, policy",
    [
        ([], "float32"),
        ([(6, 1)], "float32"),
        ([(7, 5)], "mixed_float16"),
        ([(8, 0)], "mixed_bfloat16"),
        ([(9, 0), (7, 0)], "mixed_float16"),
        ([None], "float32"),
    ],
)
def test_auto_precision_follows_the_weakest_gpu(monkeypatch, capabilities, policy):
    import tensorflow as tf

    details = [{} if capability is None else {"compute_capability": capability} for capability in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(range(len(details))))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details[device])
    assert assembly.precision_policy("auto") == policy


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="auto, off, float16, bfloat16; got 'float8'"):
        assembly.precision_policy("float8")


def test_training_and_evaluation_keep_the_same_scans_for_validation(folder):
    train, val = scans.find_training_scans(TrainConfig(data_dir=str(folder), validation_fraction=0.3, seed=5))
    scored, pairs = find_pairs(EvaluateConfig(data_dir=str(folder), validation_fraction=0.3, seed=5))
    assert scored == val
    assert len(pairs) == 6
    assert not set(train) & set(scored)


def test_the_default_fraction_and_seed_are_the_same_in_training_and_evaluation():
    train, evaluation = TrainConfig(), EvaluateConfig()
    assert (train.validation_fraction, train.seed) == (evaluation.validation_fraction, evaluation.seed)


def test_lists_name_the_scans_of_training_and_validation(folder):
    (folder / "train.txt").write_text("scan0.npz\nscan1.npz\n")
    (folder / "val.txt").write_text("scan2.npz\n")
    config = TrainConfig(train_list=str(folder / "train.txt"), val_list=str(folder / "val.txt"))
    train, val = scans.find_training_scans(config)
    assert ([scan.name for scan in train], [scan.name for scan in val]) == (["scan0", "scan1"], ["scan2"])


def test_a_training_list_without_a_validation_list_validates_nothing(folder):
    (folder / "train.txt").write_text("scan0.npz\nscan1.npz\n")
    assert scans.find_training_scans(TrainConfig(train_list=str(folder / "train.txt")))[1] == []


def test_a_folder_with_a_validation_list_trains_on_every_scan(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    np.savez(other / "a.npz", vol=np.eye(8))
    (other / "val.txt").write_text("a.npz\n")
    train, val = scans.find_training_scans(TrainConfig(data_dir=str(folder), val_list=str(other / "val.txt")))
    assert (len(train), [scan.name for scan in val]) == (10, ["a"])


@pytest.mark.parametrize("fraction, left", [(0.9, 1), (0.99, 0)])
def test_too_few_scans_left_to_train_on_are_counted(folder, fraction, left):
    with pytest.raises(InputError, match=rf"{left} scan\(s\) left to train on.*but 2 are needed") as caught:
        scans.find_training_scans(TrainConfig(data_dir=str(folder), validation_fraction=fraction))
    assert str(folder) in str(caught.value)


def test_one_scan_is_enough_to_train_towards_an_atlas(folder):
    (folder / "train.txt").write_text("scan0.npz\n")
    config = TrainConfig(train_list=str(folder / "train.txt"), atlas=str(folder / "scan1.npz"))
    assert len(scans.find_training_scans(config)[0]) == 1


def test_the_atlas_is_normalised_as_the_scans_are(folder):
    store = ScanStore([Scan("scan1", folder / "scan1.npz", None)], "minmax")
    atlas = scans.read_atlas(TrainConfig(atlas=str(folder / "scan0.npz"), normalization="minmax"), store)
    assert (atlas.image.shape, atlas.image.min(), atlas.image.max()) == ((8, 9, 1), 0.0, 1.0)
    np.testing.assert_array_equal(atlas.labels, np.ones((8, 9)))


def test_no_atlas_is_none(folder):
    assert scans.read_atlas(TrainConfig(), ScanStore([Scan("scan1", folder / "scan1.npz", None)])) is None


def test_the_network_is_that_of_the_preset(tiny):
    network = assembly.build_network(TrainConfig(preset="fast"), (32, 30), 2)
    assert network.settings["features"] == ((4,), (4,))
    assert (network.settings["image_shape"], network.settings["channels"]) == ((32, 30), (2, 2))
    assert network.settings["integration_steps"] == 2


@pytest.mark.parametrize("steps", (0, 5))
def test_integration_steps_override_the_presets(tiny, steps):
    network = assembly.build_network(TrainConfig(preset="fast", integration_steps=steps), (32, 32), 1)
    assert network.settings["integration_steps"] == steps


def test_an_initial_model_brings_its_weights_to_another_shape(tmp_path):
    network = VxmDense((32, 32), features=((4,), (4,)))
    network.save(tmp_path / "initial.keras")
    started = assembly.build_network(TrainConfig(initial_model=str(tmp_path / "initial.keras")), (20, 24), 1)
    assert started.settings["image_shape"] == (20, 24)
    for before, after in zip(network.get_weights(), started.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_an_initial_model_is_trained_in_the_precision_that_is_asked_for(tmp_path):
    VxmDense((32, 32), features=((4,), (4,)), dtype="mixed_bfloat16").save(tmp_path / "initial.keras")
    for asked, policy in (("off", "float32"), ("auto", "float32"), ("float16", "mixed_float16")):
        config = TrainConfig(initial_model=str(tmp_path / "initial.keras"), mixed_precision=asked)
        started = assembly.build_network(config, (32, 32), 1)
        assert started.dtype_policy.name == policy
        assert started.get_layer("unet_enc_conv_0").compute_dtype == policy.removeprefix("mixed_")


def test_an_initial_model_keeps_its_integration(tmp_path):
    VxmDense((32, 32), features=((4,), (4,))).save(tmp_path / "initial.keras")
    with pytest.raises(InputError, match="integrates its velocity in 7 steps, not 5. Leave --integration_steps out"):
        assembly.build_network(
            TrainConfig(initial_model=str(tmp_path / "initial.keras"), integration_steps=5), (32, 32), 1
        )


@pytest.fixture
def network():
    return VxmDense((15, 18), features=((4,), (4,)))


@pytest.mark.parametrize(
    "name, kind, setting, value", [("lncc", losses.LNCC, "window", 5), ("mse", losses.MSE, "image_sigma", 0.3)]
)
def test_the_similarity_is_the_one_of_its_name_with_its_setting(network, name, kind, setting, value):
    similarity = assembly.build_trainer(TrainConfig(similarity=name, **{setting: value}), network).similarity
    assert type(similarity) is kind
    assert getattr(similarity, setting) == value


@pytest.mark.parametrize("name", ("l1", "l2", "bending"))
def test_the_regularity_is_the_one_of_its_name(network, name):
    regularity = assembly.build_trainer(TrainConfig(regularity=name), network).regularity
    assert getattr(regularity, "penalty", "bending") == name


@pytest.mark.parametrize("field", ("similarity", "regularity"))
def test_an_unknown_loss_is_refused_with_the_known_ones(network, field):
    with pytest.raises(ValueError, match=f"{field} is one of l.*got 'ssim'"):
        assembly.build_trainer(dataclasses.replace(TrainConfig(), **{field: "ssim"}), network)


def learning_rates(network, **settings):
    config = TrainConfig(learning_rate=1e-2, **settings)
    schedule = assembly.build_trainer(config, network).optimizer._learning_rate
    return [float(schedule(step)) for step in range(config.epochs * config.steps_per_epoch + 1)]


def test_the_learning_rate_warms_up_and_falls_along_a_cosine_to_a_hundredth(network):
    rates = learning_rates(network, epochs=10, steps_per_epoch=10, warmup_steps=20)
    np.testing.assert_allclose(rates[:21], np.linspace(1e-3, 1e-2, 21), rtol=1e-4)
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(81) / 80))
    np.testing.assert_allclose(rates[20:], 1e-2 * (0.99 * cosine + 0.01), rtol=1e-4)


@pytest.mark.parametrize("steps", (1, 2, 3))
def test_a_training_of_very_few_steps_has_a_learning_rate(network, steps):
    rates = learning_rates(network, epochs=1, steps_per_epoch=steps, warmup_steps=20)
    assert np.all(np.isfinite(rates)) and np.all(np.array(rates) > 0)
    assert max(rates) <= 1e-2 * (1 + 1e-6)
