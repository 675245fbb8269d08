"""From a folder of scans to a trained network, in a few epochs of three steps."""

import csv
import dataclasses
import importlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vxm_tf.data import ScanStore, split_scans, training_pairs
from vxm_tf.files import InputError
from vxm_tf.files.json_file import write_json
from vxm_tf.models import PRESETS, VxmDense, load_model
from vxm_tf.ops import fusion
from vxm_tf.registration import register_pair
from vxm_tf.training import TrainConfig, source, train
from vxm_tf.training.checkpoint import TrainingDiverged
from vxm_tf.training.validation import PairValidation

# The package's attribute of that name is the function.
train_module = importlib.import_module("vxm_tf.training.run_training")


def log(config):
    with open(f"{config.output_dir}/log.csv", newline="") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def files(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def fed(monkeypatch):
    """The pairs that trainings are fed with, one array for each call of `train`."""
    pairs = []

    def record(store, sequence, *args, **settings):
        pairs.append(np.asarray(sequence))
        return dataset(store, sequence, *args, **settings)

    dataset = source.training_dataset
    monkeypatch.setattr(source, "training_dataset", record)
    return pairs


@pytest.fixture
def make_scans(tmp_path, rng):
    """make_scans(*shapes, seg) -> folder of random scans."""

    def make(*shapes, seg=False):
        folder = tmp_path / "scans"
        folder.mkdir()
        for k, shape in enumerate(shapes):
            labels = {"seg": np.pad(np.ones([s - 4 for s in shape], "uint8"), 2)} if seg else {}
            np.savez(folder / f"scan{k}.npz", vol=rng.random(shape), **labels)
        return str(folder)

    return make


@pytest.fixture(scope="module")
def finished(phantoms, tmp_path_factory):
    """The configuration of a training that has run to its end, TensorBoard included."""
    config = TrainConfig(
        data_dir=str(phantoms),
        output_dir=str(tmp_path_factory.mktemp("finished") / "out"),
        preset="fast",
        similarity="mse",
        epochs=2,
        steps_per_epoch=3,
        warmup_steps=1,
        tensorboard=True,
    )
    tiny = {"features": ((4,), (4,)), "velocity_resolution": 1, "integration_resolution": 1, "integration_steps": 2}
    compiler = fusion._compiler
    fusion.set_compiler(None)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(PRESETS, "fast", tiny)
            train(config)
    finally:
        fusion.set_compiler(compiler)
    return config


def test_a_training_leaves_its_files(finished):
    expected = {"best.keras", "last.keras", "state.json", "state-00002.npz", "log.csv", "config.json", "tensorboard"}
    assert {path.name for path in train_module.Path(finished.output_dir).iterdir()} == expected


def test_the_configuration_is_kept_beside_the_weights(finished):
    with open(f"{finished.output_dir}/config.json") as stream:
        assert json.load(stream) == json.loads(json.dumps(dataclasses.asdict(finished)))


@pytest.mark.parametrize("name", ("best", "last"))
def test_the_network_is_saved_with_its_normalisation(finished, name):
    network = load_model(f"{finished.output_dir}/{name}.keras")
    assert network.metadata["normalization"] == "percentile" and network.metadata["multichannel"] is False
    assert network.settings["image_shape"] == (32, 32)


def test_the_log_has_losses_and_scores_of_every_epoch(finished):
    rows = log(finished)
    assert [row["epoch"] for row in rows] == [1, 2]
    names = {"loss", "similarity", "regularity", "val_loss", "val_similarity", "val_fold_fraction", "val_dice"}
    assert set(rows[0]) == {"epoch", *names}
    assert 0.2 < rows[0]["val_dice"] < 1.0


@pytest.fixture(scope="module")
def events(finished):
    accumulator = EventAccumulator(f"{finished.output_dir}/tensorboard", size_guidance={"tensors": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, tf.make_ndarray(event.tensor_proto)) for event in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
    }


def test_tensorboard_holds_the_scalars_of_the_log(finished, events):
    rows = log(finished)
    for name in set(rows[0]) - {"epoch"}:
        assert [step for step, _ in events[name]] == [1, 2]
        np.testing.assert_allclose([float(value) for _, value in events[name]], [row[name] for row in rows], rtol=1e-6)


@pytest.mark.parametrize("pair", (0, 1))
def test_tensorboard_holds_a_picture_of_two_pairs_for_every_epoch(events, pair):
    assert [step for step, _ in events[f"registration/{pair}"]] == [1, 2]
    width, height, encoded = events[f"registration/{pair}"][1][1]
    picture = tf.io.decode_png(encoded).numpy()
    assert picture.shape == (int(height), int(width), 3)
    assert picture.std() > 10


def test_a_finished_training_started_again_does_nothing_and_says_so(finished, tiny, fed, messages):
    before = files(train_module.Path(finished.output_dir))
    assert train(finished) == train_module.Path(finished.output_dir) / "best.keras"
    assert "This training is complete" in messages()
    assert fed == []
    assert files(train_module.Path(finished.output_dir)) == before


def test_settings_that_an_older_version_did_not_know_are_no_other_settings(finished, tiny, messages):
    path = train_module.Path(finished.output_dir) / "config.json"
    before = path.read_text()
    known = {name: value for name, value in json.loads(before).items() if name not in ("spacing_mm", "orientation")}
    path.write_text(json.dumps(known))
    train(finished)
    path.write_text(before)
    assert "This training is complete" in messages()


def test_other_settings_in_the_same_folder_are_refused_with_the_difference(finished, tiny):
    before = files(train_module.Path(finished.output_dir))
    with pytest.raises(InputError, match=r"other settings \(weight: 1.0 -> 0.5; seed: 0 -> 3\)"):
        train(dataclasses.replace(finished, weight=0.5, seed=3))
    assert files(train_module.Path(finished.output_dir)) == before


def test_a_folder_in_which_no_epoch_was_done_takes_other_settings(make_config):
    config = make_config(epochs=1, max_val_pairs=1)
    write_json(f"{config.output_dir}/config.json", dataclasses.asdict(make_config(seed=9)))
    assert train(config).exists()


def test_no_scan_is_ever_fed_with_itself(make_config, fed):
    train(make_config(epochs=1, steps_per_epoch=12, max_val_pairs=1))
    np.testing.assert_array_equal(fed[0], training_pairs(4, 12, seed=0))
    assert (fed[0][:, 0] != fed[0][:, 1]).all()


def interrupt_in(monkeypatch, epoch):
    """Let the next training die in the middle of that epoch."""
    on_train_batch_end = PairValidation.on_train_batch_end

    def die(self, batch, logs=None):
        if self.model.optimizer.iterations >= 3 * (epoch - 1) + 2:
            raise KeyboardInterrupt
        on_train_batch_end(self, batch, logs)

    monkeypatch.setattr(PairValidation, "on_train_batch_end", die)


def test_an_interrupted_training_goes_on_from_the_last_whole_epoch(make_config, monkeypatch, fed, messages):
    config = make_config(epochs=3)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_in(patch, epoch=2)
        train(config)
    first = log(config)
    train(config)
    assert "Going on after epoch 1 of 3" in messages()
    assert log(config)[:1] == first
    assert [row["epoch"] for row in log(config)] == [1, 2, 3]
    assert len(fed[0]) == 9
    np.testing.assert_array_equal(fed[1], fed[0][3:])


def test_patience_ends_training_also_after_a_restart(make_config, monkeypatch, messages):
    # Without learning no epoch is better than the first.
    config = make_config(epochs=6, patience=2, learning_rate=0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_in(patch, epoch=3)
        train(config)
    assert [row["epoch"] for row in log(config)] == [1, 2]
    train(config)
    assert [row["epoch"] for row in log(config)] == [1, 2, 3]
    train(config)
    assert [row["epoch"] for row in log(config)] == [1, 2, 3]
    assert "This training is complete" in messages()


def test_a_full_disk_leaves_the_old_checkpoint_and_training_goes_on(make_config, monkeypatch, fed, messages):
    config, save = make_config(epochs=3), VxmDense.save

    def save_while_there_is_room(self, path, *args, **kwargs):
        if (train_module.Path(config.output_dir) / "state.json").exists():
            raise OSError(28, "No space left on device")
        save(self, path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(VxmDense, "save", save_while_there_is_room)
        train(config)
    assert messages().count("No space left on device") == 2
    assert [row["epoch"] for row in log(config)] == [1]
    assert isinstance(load_model(f"{config.output_dir}/best.keras"), VxmDense)
    assert "Going on" not in messages()
    train(config)
    assert "Going on after epoch 1 of 3" in messages()
    assert [row["epoch"] for row in log(config)] == [1, 2, 3]


def test_a_full_disk_under_tensorboard_does_not_end_training(make_config, monkeypatch, messages):
    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.summary, "scalar", full)
    train(make_config(tensorboard=True, max_val_pairs=1))
    assert messages().count("is missing in TensorBoard, training goes on. No space left on device") == 2
    assert len(log(make_config())) == 2


def test_a_loss_that_is_no_number_ends_training_with_the_epoch_named(make_config):
    config = make_config(learning_rate=1e30)
    with pytest.raises(TrainingDiverged, match=r"in epoch 1\."):
        train(config)
    assert [path.name for path in train_module.Path(config.output_dir).iterdir()] == ["config.json"]


def test_without_segmentations_there_is_no_dice(make_config, make_scans):
    config = make_config(data_dir=make_scans(*[(16, 17)] * 4), validation_fraction=0.5, epochs=1)
    train(config)
    names = {"loss", "similarity", "regularity", "val_loss", "val_similarity", "val_fold_fraction"}
    assert set(log(config)[0]) == {"epoch", *names}


def test_3_d_scans_train_and_without_validation_the_best_network_is_that_of_the_lowest_loss(make_config, make_scans):
    config = make_config(data_dir=make_scans(*[(8, 9, 10)] * 2), validation_fraction=0.0, epochs=1)
    assert load_model(train(config)).settings["image_shape"] == (8, 9, 10)
    assert set(log(config)[0]) == {"epoch", "loss", "similarity", "regularity"}


def test_an_atlas_is_the_fixed_image_of_every_pair(make_config, phantoms, fed):
    config = make_config(atlas=str(phantoms / "val" / "phantom_004.npz"), epochs=1)
    train(config)
    assert sorted(fed[0][:, 0]) != [0, 0, 0] and (fed[0][:, 1] == -1).all()
    assert 0.2 < log(config)[0]["val_dice"] <= 1.0


def test_an_atlas_of_another_number_of_axes_is_refused_at_once(make_config, tmp_path, rng, fed):
    np.savez(tmp_path / "atlas.npz", vol=rng.random((16, 16, 16)))
    with pytest.raises(InputError, match="atlas.npz is 3-D") as caught:
        train(make_config(atlas=str(tmp_path / "atlas.npz")))
    assert "2-D" in str(caught.value) and fed == []


def test_validation_scans_of_another_number_of_axes_are_refused_at_once(make_config, make_scans, tmp_path, fed):
    make_scans((16, 16, 16), (16, 16, 16))
    (tmp_path / "val.txt").write_text("scans/scan0.npz\nscans/scan1.npz\n")
    with pytest.raises(InputError, match="scan0.npz is 3-D") as caught:
        train(make_config(val_list=str(tmp_path / "val.txt")))
    assert "2-D" in str(caught.value) and fed == []


def test_an_initial_model_is_where_training_starts(make_config, finished):
    config = make_config(
        initial_model=f"{finished.output_dir}/last.keras", integration_steps=-1, learning_rate=0.0, epochs=1
    )
    train(config)
    networks = [load_model(f"{directory}/last.keras") for directory in (finished.output_dir, config.output_dir)]
    for before, after in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("shape, channels, what", [((8, 8, 8), 1, "3-D"), ((32, 32), 3, "3, 3")])
def test_an_initial_model_for_other_images_is_refused(make_config, tmp_path, fed, shape, channels, what):
    VxmDense(shape, channels=channels, features=((4,), (4,))).save(tmp_path / "other.keras")
    with pytest.raises(InputError, match=f"other.keras: takes .*{what}.*but the scans are 2-D with 1"):
        train(make_config(initial_model=str(tmp_path / "other.keras")))
    assert fed == []


def test_without_an_initial_model_training_starts_elsewhere(make_config):
    config = make_config(learning_rate=0.0, epochs=1, seed=8, max_val_pairs=1)
    train(config)
    keras.utils.set_random_seed(8)
    expected = VxmDense.from_preset("fast", (32, 32), integration_steps=0).get_weights()
    for weight, other in zip(load_model(f"{config.output_dir}/last.keras").get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize("batch_size", (1, 2))
def test_images_of_different_shapes_train(make_config, make_scans, batch_size):
    folder = make_scans((16, 17), (18, 15), (20, 20), (15, 22), (17, 17), seg=True)
    config = make_config(data_dir=folder, batch_size=batch_size, validation_fraction=0.4, epochs=1)
    train(config)
    row = log(config)[0]
    assert np.isfinite(row["loss"]) and 0.5 < row["val_dice"] <= 1.0
    assert load_model(f"{config.output_dir}/best.keras").settings["image_shape"] == (None, None)


@pytest.mark.parametrize("tensorboard", (False, True))
def test_validation_scans_may_have_another_shape_than_all_training_scans(make_config, make_scans, tensorboard):
    folder = make_scans((16, 16), (16, 16), (16, 16), (20, 13), (20, 13), seg=True)
    lists = {}
    for name, numbers in (("train_list", (0, 1, 2)), ("val_list", (3, 4))):
        lists[name] = f"{folder}/{name}.txt"
        with open(lists[name], "w") as stream:
            stream.write("".join(f"scan{number}.npz\n" for number in numbers))
    config = make_config(data_dir="", **lists, epochs=1, tensorboard=tensorboard)
    train(config)
    assert 0.3 < log(config)[0]["val_dice"] <= 1.0
    network = load_model(f"{config.output_dir}/best.keras")
    assert network.settings["image_shape"] == (None, None)
    assert network.metadata["grid"]["shape"] == [16, 16]


def test_a_bad_segmentation_among_few_is_told_before_the_first_epoch(make_config, make_scans, tmp_path, fed):
    folder = make_scans((16, 16), (16, 16), (16, 16), (16, 16))
    np.savez(f"{folder}/scan3.npz", vol=np.eye(16), seg=np.ones((9, 9), "uint8"))
    (tmp_path / "val.txt").write_text("scans/scan2.npz\nscans/scan3.npz\n")
    with pytest.raises(InputError, match="scan3.npz: the segmentation has shape"):
        train(make_config(data_dir=folder, val_list=str(tmp_path / "val.txt")))
    assert fed == []


def test_images_with_channels_train(make_config, make_scans):
    folder = make_scans(*[(16, 17, 3)] * 2)
    config = make_config(data_dir=folder, multichannel=True, validation_fraction=0.0, epochs=1)
    train(config)
    network = load_model(f"{config.output_dir}/last.keras")
    assert network.settings["channels"] == (3, 3)
    assert network.metadata["multichannel"] is True


@pytest.mark.parametrize("precision", ("float16", "bfloat16"))
def test_half_precision_trains_and_resumes_and_the_saved_network_keeps_its_policy(
    make_config, phantoms, monkeypatch, messages, precision
):
    config = make_config(mixed_precision=precision, max_val_pairs=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_in(patch, epoch=2)
        train(config)
    train(config)
    assert "Going on after epoch 1 of 2" in messages()
    rows = log(config)
    assert len(rows) == 2 and all(np.isfinite(list(row.values())).all() for row in rows)
    network = load_model(f"{config.output_dir}/best.keras")
    assert network.dtype_policy.name == f"mixed_{precision}"
    assert network.get_layer("unet_enc_conv_0").compute_dtype == precision
    store = ScanStore(split_scans(phantoms)[1])
    assert register_pair(network, store.image(0), store.image(1)).displacement.dtype == np.float32


def test_a_disk_cache_lies_in_the_trainings_folder(make_config):
    config = make_config(epochs=1, max_val_pairs=1, cache="disk")
    train(config)
    assert len(list(train_module.Path(config.output_dir, "cache").iterdir())) == 6
    assert np.isfinite(log(config)[0]["loss"])


@pytest.mark.parametrize("deterministic", (True, False))
def test_deterministic_operations_are_asked_of_tensorflow(make_config, monkeypatch, deterministic):
    # The real call would hold for every test after this one.
    calls = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append(True))
    with pytest.raises(InputError, match="no such folder"):
        train(make_config(data_dir="nowhere", deterministic=deterministic))
    assert calls == [True] * deterministic


def test_a_folder_that_cannot_be_written_is_refused_before_a_scan_is_read(make_config, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a regular file")
    monkeypatch.setattr(source, "find_training_scans", lambda config: pytest.fail("scans were looked for"))
    with pytest.raises(InputError, match="file/out: cannot be written"):
        train(make_config(output_dir=str(tmp_path / "file" / "out")))


@pytest.mark.parametrize("setting", ("epochs", "steps_per_epoch", "batch_size"))
@pytest.mark.parametrize("value", (0, -1))
def test_a_count_below_1_is_refused_by_its_name(make_config, setting, value):
    with pytest.raises(ValueError, match=f"{setting} is 1 or more; got {value}"):
        train(make_config(**{setting: value}))


@pytest.mark.parametrize("setting", ("patience", "max_val_pairs", "warmup_steps"))
def test_a_count_below_0_is_refused_by_its_name(make_config, setting):
    with pytest.raises(ValueError, match=f"{setting} is 0 or more; got -1"):
        train(make_config(**{setting: -1}))
