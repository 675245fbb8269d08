"""Real brains and hippocampi are found, matched, read, trained on, evaluated and served."""

import csv
import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from vxm_tf.data import ScanStore, find_scans, split_scans
from vxm_tf.data.warping import warp_labels
from vxm_tf.evaluation import EvaluateConfig, evaluate
from vxm_tf.files import read_image, read_labels
from vxm_tf.metrics import dice, labels_in
from vxm_tf.models import PRESETS, VxmDense, load_model
from vxm_tf.registration.predict import register_pair
from vxm_tf.serving import export_saved_model
from vxm_tf.training import TrainConfig, train

# The labels that `shared/data/README.md` names.
BRAIN_LABELS = tuple(map(int, "4 43 14 15 10 49 11 50 12 51 13 52 17 53 18 54 26 58 28 60 16 8 47 7 46 3 42".split()))
TINY = {"features": ((4,), (4,)), "velocity_resolution": 1, "integration_resolution": 1, "integration_steps": 0}
CLIENT = """
    import sys
    import numpy as np
    import tensorflow as tf

    images = np.load("pair.npz")
    answer = tf.saved_model.load(sys.argv[1]).signatures["serving_default"](
        moving=tf.constant(images["moving"]), fixed=tf.constant(images["fixed"])
    )
    np.savez("answer.npz", **{name: value.numpy() for name, value in answer.items()})
    print("vxm_tf" in sys.modules)
"""


def test_brains_at_2_mm_are_split_by_folder_and_hold_their_labels(data):
    train_scans, val_scans = split_scans(data("brains-2mm"))
    assert (len(train_scans), len(val_scans)) == (15, 5)
    assert all(scan.labels == scan.image for scan in train_scans + val_scans)
    store = ScanStore(val_scans)
    assert (store.image_shape, store.channels, store.has_labels) == ((80, 96, 112), 1, True)
    assert set(BRAIN_LABELS) <= set(labels_in(*(store.labels(index) for index in range(5))))


def test_brains_at_1_mm_are_matched_by_suffix(data):
    sets = split_scans(data("brains-1mm"), image_suffix="_norm", labels_suffix="_seg")
    assert [len(scans) for scans in sets] == [15, 5]
    for scan in sets[0] + sets[1]:
        assert scan.image.name == f"{scan.name}_norm.nii.gz"
        assert scan.labels == scan.image.with_name(f"{scan.name}_seg.nii.gz")
    image, labels = read_image(sets[1][0].image), read_labels(sets[1][0].labels)
    assert image.array.shape == (160, 192, 224, 1) and labels.array.shape == (160, 192, 224)
    assert image.spacing_mm == (1.0, 1.0, 1.0)


def test_brains_at_1_mm_need_no_suffix(data):
    folder = data("brains-1mm")
    given = split_scans(folder, image_suffix="_norm", labels_suffix="_seg")
    found = split_scans(folder)
    assert [[(s.image, s.labels) for s in scans] for scans in found] == [
        [(s.image, s.labels) for s in scans] for scans in given
    ]


def test_the_same_person_has_one_label_map_at_both_sizes(data):
    at_1_mm = {s.name: s for s in find_scans(data("brains-1mm") / "val", image_suffix="_norm")}
    at_2_mm = {s.name: s for s in find_scans(data("brains-2mm") / "val")}
    assert list(at_1_mm) == list(at_2_mm)
    name = next(iter(at_1_mm))
    coarse, fine = (read_labels(scans[name].labels).array for scans in (at_2_mm, at_1_mm))
    assert (fine[::2, ::2, ::2] == coarse).mean() > 0.9


def test_hippocampi_are_matched_by_folder_and_all_shapes_are_read(data):
    scans = find_scans(data("hippocampus"))
    assert len(scans) == 200
    assert all(scan.labels.name == scan.image.name and scan.labels.parent.name == "labels" for scan in scans)
    store = ScanStore(scans[:20])
    assert store.image_shape == (None, None, None)
    for index in range(20):
        assert store.labels(index).shape == store.image(index).shape[:-1]
        assert labels_in(store.labels(index)) == (1, 2)
        assert (store.image(index).min(), store.image(index).max()) == (0.0, 1.0)


def test_a_freesurfer_subject_is_matched_by_what_its_files_are_called(data):
    (scan,) = find_scans(data("freesurfer-subject"), image_suffix="norm", labels_suffix="aparc.a2009s+aseg")
    image, labels = read_image(scan.image), read_labels(scan.labels)
    assert (scan.name, image.array.shape, labels.array.shape) == ("norm", (256, 256, 256, 1), (256, 256, 256))
    assert image.spacing_mm == (1.0, 1.0, 1.0)
    np.testing.assert_array_equal(image.source.affine, labels.source.affine)
    # The whole left hippocampus lies within the brain.
    assert (image.array[..., 0][labels.array == 17] > 0).all() and (labels.array == 17).sum() > 1000


def test_hippocampi_of_different_shapes_train_and_evaluate(data, tmp_path, monkeypatch, compiler):
    monkeypatch.setitem(PRESETS, "fast", TINY)
    compiler(None)
    settings = {"preset": "fast", "similarity": "mse", "epochs": 1, "steps_per_epoch": 3, "batch_size": 2}
    folder = str(data("hippocampus"))
    config = TrainConfig(data_dir=folder, output_dir=str(tmp_path / "out"), max_val_pairs=1, **settings)
    model = train(config)
    with open(tmp_path / "out" / "log.csv", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert np.isfinite(float(row["loss"])) and 0.0 < float(row["val_dice"]) < 1.0
    output_dir = str(tmp_path / "evaluation")
    rows = evaluate(EvaluateConfig(model=str(model), data_dir=folder, max_pairs=2, output_dir=output_dir))
    assert [row.method for row in rows] == ["affine", "network"] * 2
    for row in rows:
        assert set(row.labels) == {1, 2}
        assert 0.0 < row.mean("dice") < 1.0 and 0.0 < row.mean("hausdorff95_mm") < 30.0


def brain_pair(data):
    store = ScanStore(split_scans(data("brains-2mm"))[1][:2])
    return {"moving": store.image(0)[None], "fixed": store.image(1)[None]}


def served_and_direct(network, images, folder):
    """(answers of the SavedModel in a process of its own, answers of the network)."""
    model = export_saved_model(network, folder / "served")
    np.savez(folder / "pair.npz", **images)
    command = [sys.executable, "-c", textwrap.dedent(CLIENT), str(model)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "False"
    return np.load(folder / "answer.npz"), {name: np.asarray(value) for name, value in network(images).items()}


@pytest.mark.parametrize("preset", ("fast", pytest.param("default", marks=pytest.mark.slow)))
def test_the_saved_model_answers_as_the_network_on_a_real_brain(data, tmp_path, preset):
    images = brain_pair(data)
    network = VxmDense.from_preset(preset, (80, 96, 112))
    flow = network.get_layer("flow")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    flow.set_weights([rng.normal(0, 0.05, weight.shape) for weight in flow.get_weights()])
    served, direct = served_and_direct(network, images, tmp_path)
    assert 1.0 < np.abs(direct["displacement"]).max() < 40.0
    for name in ("displacement", "moved"):
        np.testing.assert_allclose(served[name], direct[name], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_affine_dice_of_the_validation_brains_is_that_of_the_data_sets_readme(data, tmp_path):
    network = VxmDense((80, 96, 112), **TINY)
    flow = network.get_layer("flow")
    flow.set_weights([np.zeros_like(weight) for weight in flow.get_weights()])
    network.save(tmp_path / "nothing.keras")
    folder, output_dir = str(data("brains-2mm")), str(tmp_path / "evaluation")
    settings = {"labels": BRAIN_LABELS, "surface": False, "output_dir": output_dir}
    rows = evaluate(EvaluateConfig(model=str(tmp_path / "nothing.keras"), data_dir=folder, **settings))
    assert len(rows) == 2 * 20
    written = json.loads((tmp_path / "evaluation" / "summary.json").read_text())["methods"]
    assert written["affine"]["mean"]["dice"] == pytest.approx(0.617, abs=0.001)
    # A network that moves nothing changes nothing.
    assert written["network"]["mean"]["dice"] == written["affine"]["mean"]["dice"]
    assert isinstance(load_model(tmp_path / "nothing.keras"), VxmDense)


@pytest.mark.slow
def test_a_short_training_on_real_brains_lowers_the_loss_and_raises_dice(data, tmp_path):
    config = TrainConfig(
        data_dir=str(data("brains-2mm")),
        output_dir=str(tmp_path / "out"),
        preset="fast",
        epochs=4,
        steps_per_epoch=25,
        max_val_pairs=2,
        tensorboard=False,
    )
    train(config)
    with open(tmp_path / "out" / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])
    assert float(rows[-1]["val_dice"]) > float(rows[0]["val_dice"])


@pytest.mark.slow
def test_the_shipped_network_aligns_real_brains_of_like_and_unlike_contrast(data):
    """It has never seen a real image: 0.08 above affine, and with one image inverted within 0.02 of that."""
    store = ScanStore(split_scans(data("brains-2mm"))[1])
    network = load_model("shipped")
    scores = {"affine": [], "same": [], "inverted": []}
    for moving, fixed in ((0, 1), (1, 2), (2, 0), (3, 4)):
        image, other = store.image(moving), store.image(fixed)
        inverted = np.where(image > 0, 1.0 - image, 0.0).astype("float32")
        fields = {"affine": np.zeros((*other.shape[:-1], 3), "float32")}
        fields |= {name: register_pair(network, seen, other).displacement for name, seen in
                   (("same", image), ("inverted", inverted))}  # fmt: skip
        for name, field in fields.items():
            moved = warp_labels(store.labels(moving), field)
            scores[name].append(np.nanmean(list(dice(moved, store.labels(fixed), BRAIN_LABELS).values())))
    affine, same, inverted = (np.mean(values) for values in scores.values())
    assert same > affine + 0.08
    assert inverted > same - 0.02
