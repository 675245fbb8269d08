"""The trainer's loss is similarity + weight * regularity, and training lowers it."""

import keras
import numpy as np

from vxm_tf import losses, ops
from vxm_tf.data import ScanStore, ordered_pairs, split_scans, training_dataset, training_pairs


def answer(trainer, batch):
    return {name: np.asarray(value) for name, value in trainer(batch).items()}


def loss(trainer, batch):
    return float(trainer.compute_loss(x=batch, y_pred=trainer(batch)))


def mse(first, second):
    return np.mean((np.asarray(first) - np.asarray(second)) ** 2)


def test_the_loss_is_similarity_plus_weighted_regularity(make_trainer, batch, numpy_gradient_penalty):
    trainer = make_trainer(weight=0.7)
    given = answer(trainer, batch)
    expected = mse(given["moved"], batch["fixed"]) + 0.7 * numpy_gradient_penalty(given["velocity"])
    assert numpy_gradient_penalty(given["velocity"]) > 0.01
    np.testing.assert_allclose(loss(trainer, batch), expected, rtol=1e-5)


def test_both_directions_are_averaged(make_trainer, batch, numpy_gradient_penalty):
    trainer = make_trainer(weight=0.7, bidirectional=True)
    given = answer(trainer, batch)
    similarity = (mse(given["moved"], batch["fixed"]) + mse(given["fixed_moved"], batch["moving"])) / 2
    expected = similarity + 0.7 * numpy_gradient_penalty(given["velocity"])
    np.testing.assert_allclose(loss(trainer, batch), expected, rtol=1e-5)


def test_without_integration_the_displacement_is_penalised(make_trainer, batch, numpy_gradient_penalty):
    trainer = make_trainer(weight=1.0, integration_steps=0, velocity_resolution=2)
    given = answer(trainer, batch)
    expected = mse(given["moved"], batch["fixed"]) + numpy_gradient_penalty(given["displacement"])
    np.testing.assert_allclose(loss(trainer, batch), expected, rtol=1e-5)


def test_a_weight_of_0_leaves_the_similarity(make_trainer, batch):
    trainer = make_trainer(weight=0.0)
    np.testing.assert_allclose(loss(trainer, batch), mse(answer(trainer, batch)["moved"], batch["fixed"]), rtol=1e-5)


def test_what_fit_logs_is_loss_similarity_and_regularity(make_trainer, batch, numpy_gradient_penalty):
    trainer = make_trainer(weight=0.7)
    given = answer(trainer, batch)
    trainer.compile(keras.optimizers.SGD(0.0))
    logs = trainer.train_on_batch(batch, return_dict=True)
    np.testing.assert_allclose(logs["similarity"], mse(given["moved"], batch["fixed"]), rtol=1e-5)
    np.testing.assert_allclose(logs["regularity"], numpy_gradient_penalty(given["velocity"]), rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], logs["similarity"] + 0.7 * logs["regularity"], rtol=1e-5)


def test_a_step_changes_the_networks_own_weights(make_trainer, batch):
    trainer = make_trainer()
    before = trainer.network.get_weights()
    trainer.compile(keras.optimizers.SGD(0.1))
    trainer.train_on_batch(batch)
    assert all(not np.array_equal(old, new) for old, new in zip(before, trainer.network.get_weights(), strict=True))


def test_the_network_that_is_saved_answers_as_the_trained_one(make_trainer, batch, tmp_path):
    trainer = make_trainer()
    trainer.compile("adam")
    trainer.train_on_batch(batch)
    trainer.network.save(tmp_path / "network.keras")
    saved = keras.models.load_model(tmp_path / "network.keras")
    assert saved.compiled is False
    np.testing.assert_array_equal(saved(batch)["moved"], answer(trainer, batch)["moved"])


def test_a_short_training_on_phantoms_lowers_the_loss(phantoms, make_trainer):
    store = ScanStore(split_scans(phantoms)[0])
    trainer = make_trainer((32, 32), losses.MSE(0.1), weight=0.1)
    flow = trainer.network.get_layer("flow")
    flow.set_weights([weight * 1e-3 for weight in flow.get_weights()])
    batches = list(training_dataset(store, ordered_pairs(len(store), limit=3), 1))
    before = np.mean([loss(trainer, batch) for batch in batches])
    trainer.compile(keras.optimizers.Adam(1e-2))
    trainer.fit(training_dataset(store, training_pairs(len(store), 30, seed=0), 1), shuffle=False, verbose=0)
    after = np.mean([loss(trainer, batch) for batch in batches])
    assert after < 0.93 * before


def test_targets_are_warped_and_compared_in_place_of_the_images(make_trainer, batch, rng):
    trainer = make_trainer(weight=0.0, bidirectional=True)
    targets = {f"{name}_target": rng.random((2, 15, 18, 2), dtype="float32") for name in ("moving", "fixed")}
    seen, judged = answer(trainer, batch), answer(trainer, {**batch, **targets})
    np.testing.assert_array_equal(seen["displacement"], judged["displacement"])
    moved = ops.warp(targets["moving_target"], seen["displacement"])
    fixed_moved = ops.warp(targets["fixed_target"], seen["inverse_displacement"])
    expected = (mse(moved, targets["fixed_target"]) + mse(fixed_moved, targets["moving_target"])) / 2
    np.testing.assert_allclose(loss(trainer, {**batch, **targets}), expected, rtol=1e-5)
