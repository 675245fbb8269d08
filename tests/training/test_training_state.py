"""What survives when a training is killed, when the disk is full, and when it diverges."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.models import VxmDense, load_model
from vxm_tf.training import checkpoint
from vxm_tf.training.checkpoint import DivergenceCheck, TrainingDiverged, TrainingState


@pytest.fixture
def trainer(make_trainer):
    trainer = make_trainer()
    trainer.compile("adam")
    return trainer


@pytest.fixture
def make_state(tmp_path):
    """make_state(trainer, **settings) -> a `TrainingState` in a folder of the test's own."""

    def make(trainer, monitor="val_loss", mode="min", **settings):
        state = TrainingState(tmp_path / "run", monitor=monitor, mode=mode, **settings)
        state.set_model(trainer)
        return state

    return make


@pytest.fixture
def fresh(make_trainer):
    """fresh() -> another trainer of the same shape, with other weights."""

    def make():
        trainer = make_trainer()
        trainer.compile("adam")
        return trainer

    return make


def mark(trainer, value):
    """Put every weight and the whole optimiser to a value, as if an epoch had gone by."""
    for variable in checkpoint._variables(trainer):
        variable.assign(np.full(variable.shape, value))


def marks(trainer):
    """The values that all variables hold."""
    values = [np.asarray(variable) for variable in checkpoint._variables(trainer)]
    return set(np.concatenate([value.ravel() for value in values]).tolist())


def network_mark(path):
    return float(load_model(path).get_layer("flow").get_weights()[1][0])


def run_epochs(state, scores, first=1):
    """One epoch for each score; everything is marked with the number of its epoch."""
    for epoch, score in enumerate(scores, first):
        mark(state.model, epoch)
        state.on_epoch_end(epoch - 1, {"loss": 0.5, "val_loss": score, "val_dice": score})


def full_disk(*_, **__):
    raise OSError(28, "No space left on device")


def test_an_epoch_leaves_network_state_and_log(trainer, make_state):
    state = make_state(trainer)
    run_epochs(state, [1.0])
    names = {"best.keras", "last.keras", "log.csv", "state.json", "state-00001.npz"}
    assert {path.name for path in state.directory.iterdir()} == names


def test_only_the_newest_weights_are_kept(trainer, make_state):
    state = make_state(trainer)
    run_epochs(state, [3.0, 2.0, 1.0])
    assert [path.name for path in state.directory.glob("state-*")] == ["state-00003.npz"]


def test_weights_and_optimiser_come_back(trainer, make_state, fresh):
    run_epochs(make_state(trainer), [3.0, 2.0])
    other = fresh()
    state = make_state(other)
    assert state.restore(other)
    assert marks(other) == {2.0}
    assert (state.epoch, [row["val_loss"] for row in state.history]) == (2, [3.0, 2.0])


def test_real_weights_come_back_bit_for_bit(trainer, make_state, fresh, batch):
    trainer.train_on_batch(batch)
    make_state(trainer).on_epoch_end(0, {"val_loss": 1.0})
    other = fresh()
    assert make_state(other).restore(other)
    for before, after in zip(checkpoint._variables(trainer), checkpoint._variables(other), strict=True):
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))
    assert int(other.optimizer.iterations) == 1


def test_without_a_state_nothing_is_restored(trainer, make_state):
    weights = trainer.network.get_weights()
    state = make_state(trainer)
    assert not state.restore(trainer)
    assert state.epoch == 0
    for before, after in zip(weights, trainer.network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "monitor, mode, scores, best",
    [
        ("val_loss", "min", [3.0, 1.0, 2.0], 2),
        ("val_loss", "min", [-3.0, -1.0, -2.0], 1),
        ("val_dice", "max", [0.5, 0.7, 0.6], 2),
        ("val_dice", "max", [0.5, 0.5, 0.5], 1),
    ],
)
def test_the_best_network_is_that_of_the_best_score_and_the_last_of_the_last(
    trainer, make_state, monitor, mode, scores, best
):
    state = make_state(trainer, monitor, mode)
    run_epochs(state, scores)
    assert network_mark(state.directory / "best.keras") == best
    assert network_mark(state.directory / "last.keras") == len(scores)


def test_the_best_network_of_before_a_restart_is_remembered(trainer, make_state, fresh):
    run_epochs(make_state(trainer), [1.0])
    other = fresh()
    state = make_state(other)
    state.restore(other)
    run_epochs(state, [2.0], first=2)
    assert network_mark(state.directory / "best.keras") == 1
    run_epochs(state, [0.5], first=3)
    assert network_mark(state.directory / "best.keras") == 3


@pytest.mark.parametrize(
    "mode, scores, stops",
    [
        ("min", [3.0, 2.0, 1.0], [False] * 3),
        ("min", [1.0, 2.0, 3.0], [False, False, True]),
        ("min", [1.0, 1.0, 1.0], [False, False, True]),
        ("max", [1.0, 2.0, 3.0], [False] * 3),
        ("max", [3.0, 2.0, 4.0, 1.0, 1.0], [False, False, False, False, True]),
    ],
)
def test_training_stops_when_patience_has_run_out(trainer, make_state, mode, scores, stops):
    state = make_state(trainer, mode=mode, patience=2)
    trainer.stop_training = False
    for epoch, (score, stop) in enumerate(zip(scores, stops, strict=True), 1):
        run_epochs(state, [score], first=epoch)
        assert (state.stopped, trainer.stop_training) == (stop, stop)


def test_no_patience_never_stops(trainer, make_state):
    state = make_state(trainer, patience=0)
    run_epochs(state, [1.0] * 5)
    assert not state.stopped


def test_patience_counts_on_after_a_restart(trainer, make_state, fresh):
    run_epochs(make_state(trainer, patience=3), [1.0, 2.0, 2.0])
    other = fresh()
    state = make_state(other, patience=3)
    state.restore(other)
    assert not state.stopped
    run_epochs(state, [2.0], first=4)
    assert state.stopped and other.stop_training


def test_the_log_has_a_row_for_each_epoch(trainer, make_state):
    state = make_state(trainer)
    state.on_epoch_end(0, {"loss": 0.5, "val_loss": 2.0})
    state.on_epoch_end(1, {"loss": np.float32(0.25), "val_loss": 1.0})
    assert (state.directory / "log.csv").read_text() == "epoch,loss,val_loss\n1,0.5,2.0\n2,0.25,1.0\n"


@pytest.mark.parametrize("owner, name", [(VxmDense, "save"), (np, "savez")])
def test_a_full_disk_leaves_the_old_files_and_training_goes_on(
    trainer, make_state, fresh, monkeypatch, caplog, owner, name
):
    state = make_state(trainer)
    run_epochs(state, [2.0])
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full_disk)
        run_epochs(state, [3.0], first=2)
    assert "No space left on device" in caplog.text and "training goes on" in caplog.text
    assert network_mark(state.directory / "best.keras") == 1
    other = fresh()
    restored = make_state(other)
    assert restored.restore(other)
    assert (restored.epoch, marks(other)) == (1, {1.0})
    assert not list(state.directory.glob(".writing-*"))


def test_once_the_disk_has_room_again_the_newest_epoch_is_saved(trainer, make_state, fresh, monkeypatch):
    state = make_state(trainer)
    with monkeypatch.context() as patch:
        patch.setattr(VxmDense, "save", full_disk)
        run_epochs(state, [2.0])
    run_epochs(state, [1.0], first=2)
    other = fresh()
    restored = make_state(other)
    assert restored.restore(other)
    assert (restored.epoch, marks(other)) == (2, {2.0})
    assert network_mark(state.directory / "best.keras") == 2


def test_a_disk_that_is_really_full_does_not_end_the_process(tmp_path):
    """In a process of its own: HDF5 crashes where a write fails, and no exception tells of it."""
    script = """
        import resource, sys
        from vxm_tf import losses, models, training
        from vxm_tf.training.checkpoint import TrainingState

        network = models.VxmDense((16, 16), features=((8, 32), (32, 8)))
        trainer = training.RegistrationTrainer(network, losses.MSE(), losses.GradientPenalty())
        trainer.compile("adam")
        state = TrainingState(sys.argv[1], monitor="loss", mode="min")
        state.set_model(trainer)
        state.on_epoch_end(0, {"loss": 1.0})
        # From now on no file may grow beyond so many bytes.
        for size in (100, 20_000, 60_000, 120_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            state.on_epoch_end(1, {"loss": 1.0})
        print("went on")
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, "went on"), done.stderr
    assert done.stderr.count("training goes on") >= 2
    assert json.loads((tmp_path / "state.json").read_text())["weights"] == "state-00001.npz"
    assert isinstance(load_model(tmp_path / "last.keras"), VxmDense)


@pytest.mark.parametrize("dies_in", ("replace_atomically", "write_csv", "write_json"))
def test_a_death_while_saving_loses_this_epoch_alone(trainer, make_state, fresh, monkeypatch, dies_in):
    state = make_state(trainer)
    run_epochs(state, [2.0])

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, dies_in, die)
        run_epochs(state, [1.0], first=2)
    other = fresh()
    restored = make_state(other)
    assert restored.restore(other)
    assert (restored.epoch, marks(other)) == (1, {1.0})
    run_epochs(restored, [1.0], first=2)
    assert [line.split(",")[0] for line in (state.directory / "log.csv").read_text().splitlines()] == [
        "epoch",
        "1",
        "2",
    ]
    assert [path.name for path in state.directory.glob("state-*")] == ["state-00002.npz"]


@pytest.mark.parametrize("damage", ("missing", "truncated", "of another network"))
def test_damaged_weights_are_named_with_a_way_out(trainer, make_state, make_trainer, damage):
    state = make_state(trainer)
    run_epochs(state, [1.0])
    path = state.directory / "state-00001.npz"
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    other = make_trainer(**({"features": ((4, 4), (4, 4))} if damage == "of another network" else {}))
    other.compile("adam")
    with pytest.raises(InputError, match=r"state-00001.npz: cannot be restored.*Remove .*state.json.*--initial_model"):
        make_state(other).restore(other)


def test_a_damaged_state_file_is_named(trainer, make_state):
    state = make_state(trainer)
    run_epochs(state, [1.0])
    (state.directory / "state.json").write_text('{"weights": ')
    with pytest.raises(InputError, match="state.json: cannot be read"):
        make_state(trainer).restore(trainer)


@pytest.mark.parametrize("loss", (float("nan"), float("inf")))
def test_a_loss_that_is_no_number_ends_training_and_names_the_epoch(trainer, tmp_path, loss):
    check = DivergenceCheck(tmp_path)
    check.set_model(trainer)
    check.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(TrainingDiverged, match=r"in epoch 7\. .*are those of epoch 6.*--learning_rate") as caught:
        check.on_epoch_end(6, {"loss": loss})
    assert str(tmp_path) in str(caught.value)


def test_weights_that_are_no_numbers_end_training_before_they_are_saved(trainer, tmp_path):
    check = DivergenceCheck(tmp_path)
    check.set_model(trainer)
    mark(trainer, np.nan)
    with pytest.raises(TrainingDiverged, match="in epoch 1"):
        check.on_epoch_end(0, {"loss": 1.0})


def test_a_diverged_training_is_bad_input_to_the_commands():
    assert issubclass(TrainingDiverged, ValueError)


def test_the_state_is_no_part_of_the_saved_network(trainer, make_state):
    state = make_state(trainer)
    run_epochs(state, [1.0])
    assert type(keras.models.load_model(state.directory / "last.keras")) is VxmDense


NAN = float("nan")


@pytest.mark.parametrize(
    "dice, val_loss, best",
    [
        ([NAN, NAN, NAN], [3.0, 1.0, 2.0], 2),
        ([NAN, 0.2, 0.1], [1.0, 2.0, 3.0], 2),
        ([0.5, NAN, 0.6], [1.0, 0.5, 2.0], 3),
        ([0.5, NAN, 0.4], [1.0, 0.5, 2.0], 1),
        ([NAN], [NAN], 1),
    ],
)
def test_an_epoch_without_a_score_neither_wins_nor_blocks_later_ones(trainer, make_state, dice, val_loss, best):
    state = make_state(trainer, "val_dice", "max")
    for epoch, (score, loss) in enumerate(zip(dice, val_loss), 1):
        mark(trainer, epoch)
        state.on_epoch_end(epoch - 1, {"loss": 0.5, "val_loss": loss, "val_dice": score})
    assert network_mark(state.directory / "best.keras") == best


def test_patience_counts_epochs_without_a_score(trainer, make_state):
    state = make_state(trainer, "val_dice", "max", patience=2)
    run_epochs(state, [0.5, NAN])
    assert not state.stopped
    run_epochs(state, [NAN], first=3)
    assert state.stopped


def test_a_score_of_nan_survives_a_restart(trainer, make_state, fresh):
    run_epochs(make_state(trainer, "val_dice", "max"), [NAN])
    other = fresh()
    state = make_state(other, "val_dice", "max")
    assert state.restore(other)
    run_epochs(state, [0.1], first=2)
    assert network_mark(state.directory / "best.keras") == 2
