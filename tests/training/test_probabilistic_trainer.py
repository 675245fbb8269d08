"""Training a network that says how sure it is: the bound on the evidence, and a variance that follows from it."""

import keras
import numpy as np
import pytest

from vxm_tf import losses, ops
from vxm_tf.files import InputError
from vxm_tf.models import PRESETS, VxmProbabilistic, load_model
from vxm_tf.training import train
from vxm_tf.training.checkpoint import TrainingState
from vxm_tf.training.probabilistic_trainer import ProbabilisticTrainer

SMALL = {"features": (4, 6), "iterations": (1, 1), "window": 5, "integration_steps": 5}


@pytest.fixture
def make_trainer(compiler):
    """make_trainer(network) -> a trainer of a network, or of a new one."""
    compiler(None)

    def make(network=None):
        network = network or VxmProbabilistic((15, 18), **SMALL)
        trainer = ProbabilisticTrainer(network, losses.MSE(0.1), losses.GradientPenalty(), weight=0.7, prior_lambda=5.0)
        trainer.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
        return trainer

    return make


@pytest.fixture
def trainer(make_trainer):
    return make_trainer()


def test_the_loss_is_the_similarity_of_a_sample_and_the_scaled_divergence(trainer, batch):
    given = trainer(batch, training=True)
    similarity = np.mean((np.asarray(given["moved"]) - batch["fixed"]) ** 2) / 0.1**2
    kl = losses.LaplacianKL(5.0, ops.neighbour_correlation(2))
    divergence = np.mean(kl(given["velocity"], given["log_variance"]))
    expected = similarity + 0.7 * 2.0 / (5.0 * 2) * divergence
    np.testing.assert_allclose(float(trainer.compute_loss(x=batch, y_pred=given)), expected, rtol=1e-4)


def test_only_training_samples(trainer, batch):
    first, again = (np.asarray(trainer(batch)["moved"]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    drawn, other = (np.asarray(trainer(batch, training=True)["moved"]) for _ in range(2))
    assert np.abs(drawn - other).max() > 1e-3


def test_where_images_tell_the_variance_is_smaller(compiler, rng):
    """Half of each image is texture, half is empty: there nothing says where anything lies."""
    compiler(None)
    texture = np.asarray(ops.window_mean(rng.random((1, 32, 32, 1), dtype="float32"), 3))
    texture = 4.0 * (texture - texture.mean())
    texture[:, :, 16:] = 0.0
    network = VxmProbabilistic((32, 32), outputs=("log_variance",), **SMALL)
    trainer = ProbabilisticTrainer(network, losses.MSE(0.1), losses.GradientPenalty(), weight=1.0)
    trainer.compile(keras.optimizers.Adam(2e-2), jit_compile=False)
    images = {"moving": texture, "fixed": texture}
    for _ in range(80):
        trainer.train_on_batch(images)
    deviation = np.exp(0.5 * np.asarray(network(images)["log_variance"]))[0]
    assert deviation[2:-2, 2:6].mean() < 0.7 * deviation[2:-2, 10:-2].mean()


def test_a_command_s_worth_of_training(make_config, monkeypatch):
    monkeypatch.setitem(PRESETS, "small", SMALL)
    config = make_config(model="probabilistic", preset="small", integration_steps=-1, similarity="lncc", prior_lambda=3)
    network = load_model(train(config))
    assert type(network) is VxmProbabilistic
    images = {name: np.zeros((1, 32, 32, 1), "float32") for name in ("moving", "fixed")}
    assert set(network(images)) == {"moved", "displacement"}


@pytest.mark.parametrize(
    "changed, error",
    [
        ({"preset": "fast"}, "one of the presets small, base, large, any-contrast; got 'fast'"),
        ({"preset": "small", "regularity": "bending"}, "regularity l2; got 'bending'"),
        ({"model": "certain"}, "model is one of deterministic, probabilistic; got 'certain'"),
    ],
)
def test_what_does_not_go_together_is_said(make_config, changed, error):
    with pytest.raises(ValueError, match=error):
        train(make_config(**{"model": "probabilistic", "integration_steps": -1, **changed}))


def test_a_network_without_variance_starts_no_probabilistic_training(make_config, monkeypatch, tmp_path):
    monkeypatch.setitem(PRESETS, "small", SMALL)
    path = train(make_config(preset="small", integration_steps=-1, epochs=1))
    config = make_config(model="probabilistic", initial_model=str(path), output_dir=str(tmp_path / "second"))
    with pytest.raises(InputError, match="a VxmPyramid predicts no variance"):
        train(config)


def test_a_network_with_variance_starts_no_deterministic_training(make_config, tmp_path):
    VxmProbabilistic((32, 32), **SMALL).save(tmp_path / "probabilistic.keras")
    with pytest.raises(InputError, match="Add --model probabilistic"):
        train(make_config(initial_model=str(tmp_path / "probabilistic.keras")))


def test_samples_go_on_where_a_training_was_killed(trainer, batch, tmp_path):
    """The third sample is the same, whether the second was drawn before or after the training was restored."""
    state = TrainingState(tmp_path, monitor="loss", mode="min")
    state.set_model(trainer)
    trainer(batch, training=True)
    state.on_epoch_end(0, {"loss": 1.0})
    expected = [np.asarray(trainer(batch, training=True)["moved"]) for _ in range(2)]
    assert TrainingState(tmp_path, monitor="loss", mode="min").restore(trainer)
    for moved in expected:
        np.testing.assert_array_equal(np.asarray(trainer(batch, training=True)["moved"]), moved)


def log_variance(network, images):
    return np.asarray(network.with_outputs("log_variance")(images)["log_variance"])


def test_the_trained_variance_is_saved_resized_and_resumed(make_trainer, trainer, batch, tmp_path):
    before = log_variance(trainer.network, batch)
    for _ in range(10):
        trainer.train_on_batch(batch)
    state = TrainingState(tmp_path, monitor="loss", mode="min")
    state.set_model(trainer)
    state.on_epoch_end(0, {"loss": 1.0})
    expected = log_variance(trainer.network, batch)
    assert np.abs(expected - before).max() > 0.01
    resumed = make_trainer()
    assert TrainingState(tmp_path, monitor="loss", mode="min").restore(resumed)
    resized = trainer.network.for_shape((None, 18))
    for network in (load_model(tmp_path / "last.keras"), resized, resumed.network):
        np.testing.assert_allclose(log_variance(network, batch), expected, atol=1e-6)


def test_a_resumed_training_is_the_uninterrupted_one(make_trainer, trainer, batch, tmp_path):
    losses_of = {}
    for _ in range(3):
        trainer.train_on_batch(batch)
    state = TrainingState(tmp_path, monitor="loss", mode="min")
    state.set_model(trainer)
    state.on_epoch_end(0, {"loss": 1.0})
    resumed = make_trainer()
    assert TrainingState(tmp_path, monitor="loss", mode="min").restore(resumed)
    for name, other in {"uninterrupted": trainer, "resumed": resumed}.items():
        losses_of[name] = [other.train_on_batch(batch, return_dict=True)["loss"] for _ in range(3)]
    assert losses_of["resumed"] == pytest.approx(losses_of["uninterrupted"], abs=1e-6)
    for one, other in zip(trainer.network.variables, resumed.network.variables, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-6)
