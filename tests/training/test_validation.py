"""What is logged after each epoch is the mean over validation pairs, with Dice where there are labels."""

import numpy as np
import pytest

from vxm_tf.data import Atlas, Scan, ScanStore
from vxm_tf.training.validation import PairValidation

SHAPE = (15, 18)


@pytest.fixture
def trainer(make_trainer):
    """Moves everything by (2, -3) voxels."""
    trainer = make_trainer(integration_steps=0)
    flow = trainer.network.get_layer("flow")
    flow.set_weights([np.zeros_like(flow.get_weights()[0]), np.array([2.0, -3.0])])
    return trainer


@pytest.fixture
def make_store(tmp_path, rng):
    """make_store(*label maps): one random image for each, without segmentation for None."""

    def make(*maps):
        scans = []
        for k, labels in enumerate(maps):
            path = tmp_path / f"{k}.npz"
            shape = SHAPE if labels is None else labels.shape
            np.savez(path, vol=rng.random(shape), **({} if labels is None else {"seg": labels}))
            scans.append(Scan(str(k), path, None if labels is None else path))
        return ScanStore(scans, "minmax")

    return make


def square(start, stop, label=4, shape=SHAPE):
    labels = np.zeros(shape, "uint8")
    labels[tuple(slice(a, b) for a, b in zip(start, stop))] = label
    return labels


def validate(trainer, *args, **settings):
    callback = PairValidation(*args, **settings)
    callback.set_model(trainer)
    logs = {"loss": 0.5}
    callback.on_epoch_end(0, logs)
    return logs


def test_dice_is_that_of_labels_moved_by_the_network(trainer, make_store):
    # Moved by (2, -3), the square's rows 6..9 become 4..7 and its columns 4..7 become 7..10.
    store = make_store(square((6, 4), (10, 8)), square((4, 7), (8, 11)))
    assert validate(trainer, store, [(0, 1)])["val_dice"] == 1.0
    assert validate(trainer, store, [(1, 0)])["val_dice"] == 0.0


def test_dice_is_the_mean_over_labels_and_pairs(trainer, make_store):
    fixed = square((4, 7), (8, 11)) + square((12, 0), (14, 2), label=9)
    store = make_store(square((6, 4), (10, 8)), fixed, square((6, 6), (10, 10)))
    # 0 onto 1: label 4 fits, label 9 is missing. 2 onto 1: half of label 4 overlaps, label 9 is missing.
    assert validate(trainer, store, [(0, 1)])["val_dice"] == pytest.approx((1.0 + 0.0) / 2)
    assert validate(trainer, store, [(0, 1), (2, 1)])["val_dice"] == pytest.approx((0.5 + 0.25) / 2)


def test_the_loss_is_that_of_training(trainer, make_store):
    store = make_store(None, None)
    logs = validate(trainer, store, [(0, 1)])
    moved = np.asarray(trainer({"moving": store.image(0)[None], "fixed": store.image(1)[None]})["moved"])[0]
    expected = np.mean((moved - store.image(1)) ** 2)
    assert logs["val_similarity"] == pytest.approx(expected, rel=1e-5)
    # A constant displacement costs no regularity.
    assert logs["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_loss_holds_the_weighted_regularity(make_trainer, make_store, numpy_gradient_penalty):
    trainer, store = make_trainer(weight=0.7), make_store(None, None)
    logs = validate(trainer, store, [(0, 1)])
    velocity = np.asarray(trainer({"moving": store.image(0)[None], "fixed": store.image(1)[None]})["velocity"])
    penalty = numpy_gradient_penalty(velocity)
    assert penalty > 0.01
    assert logs["val_loss"] == pytest.approx(logs["val_similarity"] + 0.7 * penalty, rel=1e-5)


def test_folds_are_counted(trainer, make_trainer, make_store):
    store = make_store(None, None)
    assert validate(trainer, store, [(0, 1)])["val_fold_fraction"] == 0.0
    wild = make_trainer(integration_steps=0)
    flow = wild.network.get_layer("flow")
    flow.set_weights([50 * weight for weight in flow.get_weights()])
    assert validate(wild, store, [(0, 1)])["val_fold_fraction"] > 0.1


def test_without_labels_there_is_no_dice(trainer, make_store):
    logs = validate(trainer, make_store(None, square((1, 1), (3, 3))), [(0, 1), (1, 0)])
    assert set(logs) == {"loss", "val_loss", "val_similarity", "val_fold_fraction"}


def test_towards_an_atlas_dice_is_that_with_the_atlas_labels(trainer, make_store, rng):
    store = make_store(square((6, 4), (10, 8)))
    atlas = Atlas(rng.random((*SHAPE, 1), dtype="float32"), square((4, 7), (8, 11)))
    logs = validate(trainer, store, [(0, -1)], atlas=atlas)
    assert logs["val_dice"] == 1.0


def test_scans_of_different_shapes_are_scored_on_one_grid(make_trainer, make_store):
    trainer = make_trainer((None, None), integration_steps=0)
    flow = trainer.network.get_layer("flow")
    flow.set_weights([np.zeros_like(weight) for weight in flow.get_weights()])
    # Centred on 15 x 18, the smaller map's square lies 2 further down and 1 to the right.
    small, large = square((3, 4), (7, 8), shape=(11, 16)), square((5, 5), (9, 9))
    assert validate(trainer, make_store(small, large), [(0, 1), (1, 0)])["val_dice"] == 1.0


def test_beyond_a_smaller_map_there_is_no_label(make_trainer, make_store):
    trainer = make_trainer((None, None), integration_steps=0)
    flow = trainer.network.get_layer("flow")
    flow.set_weights([np.zeros_like(weight) for weight in flow.get_weights()])
    store = make_store(np.ones((13, 18), "uint8"), np.ones((15, 18), "uint8"))
    assert validate(trainer, store, [(0, 1)])["val_dice"] == pytest.approx(2 * 13 / (13 + 15))


def test_without_pairs_the_log_stays_as_it_is(trainer, make_store):
    assert validate(trainer, make_store(None), []) == {"loss": 0.5}
