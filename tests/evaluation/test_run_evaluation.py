"""A network that shifts everything by a known vector, on labels whose overlap is known by hand."""

import csv
import json
import math

import keras
import nibabel
import numpy as np
import pytest
from absl import logging

from vxm_tf import metrics
from vxm_tf.data import ScanStore, read_list
from vxm_tf.evaluation import EvaluateConfig, evaluate
from vxm_tf.evaluation.run_evaluation import find_pairs
from vxm_tf.files import InputError
from vxm_tf.models import load_model
from vxm_tf.registration import register_pair

SHAPE, SHIFT = (15, 18), (2, -3)
SPACING_MM = (2.0, 0.5)


def moving_labels(shape=SHAPE):
    """Label 4, a square of 16 voxels, and label 9, a single one. Shifted: rows 2 less, columns 3 more."""
    labels = np.zeros(shape, "uint8")
    labels[6:10, 4:8] = 4
    labels[12, 5] = 9
    return labels


def fixed_labels(shape=SHAPE):
    """Of the moving square, shifted to rows 4..7 and columns 7..10, 12 voxels are covered; without shift, none."""
    labels = np.zeros(shape, "uint8")
    labels[4:8, 8:12] = 4
    labels[10, 12] = 9
    return labels


@pytest.fixture
def model(tmp_path, constant_network):
    network = constant_network(SHAPE, SHIFT)
    network.metadata = {"normalization": "minmax", "multichannel": False}
    network.save(tmp_path / "model.keras")
    return str(tmp_path / "model.keras")


@pytest.fixture
def write(tmp_path, rng):
    """write(name, labels, **arrays): an NPZ with a random image beside its labels."""

    def write(name, labels=None, **arrays):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = SHAPE if labels is None else labels.shape
        np.savez(path, vol=rng.random(shape), **({} if labels is None else {"seg": labels}), **arrays)
        return path

    return write


@pytest.fixture
def job(tmp_path, model, write):
    """Settings for one pair, whose Dice is known: 0.75 and 0 after, 0 and 0 before."""
    write("moving.npz", moving_labels(), spacing_mm=np.array(SPACING_MM))
    write("fixed.npz", fixed_labels(), spacing_mm=np.array(SPACING_MM))
    (tmp_path / "pairs.txt").write_text("moving.npz fixed.npz\n")
    return {"model": model, "pairs": str(tmp_path / "pairs.txt"), "output_dir": str(tmp_path / "out")}


def run(job, **changed):
    """The rows "affine" and "network" of every pair, one dict for each method."""
    rows = evaluate(EvaluateConfig(**{**job, **changed}))
    return [dict(zip(("affine", "network"), rows[k : k + 2])) for k in range(0, len(rows), 2)]


def table(job, name):
    with open(f"{job['output_dir']}/{name}.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def summary(job):
    with open(f"{job['output_dir']}/summary.json") as stream:
        return json.load(stream)


def test_dice_of_the_network_is_that_of_the_moved_labels(job):
    (pair,) = run(job)
    assert {label: scores["dice"] for label, scores in pair["network"].labels.items()} == {4: 0.75, 9: 0.0}


def test_the_affine_row_is_that_of_the_unmoved_labels(job, write):
    write("fixed.npz", np.roll(moving_labels(), 1, axis=0))
    (pair,) = run(job)
    assert {label: scores["dice"] for label, scores in pair["affine"].labels.items()} == {4: 0.75, 9: 0.0}
    assert pair["affine"].fold_fraction == pair["affine"].log_jacobian_std == 0.0
    assert math.isnan(pair["affine"].seconds)


def test_distances_are_in_millimetres_of_the_file(job):
    (pair,) = run(job)
    # Of label 9, one voxel in each map: columns 5 and 12 and rows 12 and 10 before, columns 8 and 12 after.
    assert pair["network"].labels[9]["hausdorff95_mm"] == pytest.approx(4 * 0.5)
    assert pair["affine"].labels[9]["mean_surface_mm"] == pytest.approx(math.hypot(2 * 2.0, 7 * 0.5))


@pytest.mark.parametrize("given, expected", [((3.0, 1.0), 4 * 1.0), ((2.5,), 4 * 2.5)])
def test_a_spacing_that_is_given_wins(job, given, expected):
    (pair,) = run(job, spacing_mm=given)
    assert pair["network"].labels[9]["hausdorff95_mm"] == pytest.approx(expected)


@pytest.mark.parametrize("stored", (None, (2.0,)), ids=("for each axis", "one for all"))
def test_scans_on_another_grid_than_the_networks_are_told(job, write, caplog, stored):
    for name, labels in (("moving.npz", moving_labels()), ("fixed.npz", fixed_labels())):
        write(name, labels, spacing_mm=np.array(stored or SPACING_MM))
    network = keras.models.load_model(job["model"])
    for spacing, told in ((2 * stored if stored else SPACING_MM, False), ((5.0, 5.0), True)):
        network.metadata = {**network.metadata, "grid": {"spacing_mm": spacing, "orientation": "LA"}}
        network.save(job["model"])
        caplog.clear()
        run(job)
        assert ("scans as they are stored" in caplog.text) == told


def test_without_a_voxel_size_distances_are_given_for_1_mm_and_said_so(job, write, caplog, monkeypatch):
    # It is said once a process, and another test may have been first.
    monkeypatch.setattr(logging, "_log_counter_per_token", {})
    write("moving.npz", moving_labels())
    write("fixed.npz", fixed_labels())
    (pair,) = run(job)
    assert pair["network"].labels[9]["hausdorff95_mm"] == pytest.approx(4.0)
    assert "holds no voxel size" in caplog.text


def test_distances_can_be_left_out(job):
    (pair,) = run(job, surface=False)
    assert set(pair["network"].labels[4]) == {"dice"}
    assert math.isnan(pair["network"].mean("hausdorff95_mm"))


def test_only_the_labels_that_are_asked_for_are_scored(job):
    (pair,) = run(job, labels=(9, 77))
    assert list(pair["network"].labels) == [9, 77]
    assert pair["network"].mean("dice") == 0.0
    assert math.isnan(pair["network"].labels[77]["dice"])


def test_pairs_csv_has_a_row_for_each_method_of_each_pair(job, tmp_path):
    (tmp_path / "pairs.txt").write_text("moving.npz fixed.npz\nfixed.npz, moving.npz # the other way\n")
    run(job)
    rows = table(job, "pairs")
    assert [(r["moving"], r["fixed"], r["method"], float(r["dice"])) for r in rows] == [
        ("moving", "fixed", "affine", 0.0),
        ("moving", "fixed", "network", 0.375),
        ("fixed", "moving", "affine", 0.0),
        ("fixed", "moving", "network", 0.0),
    ]
    assert float(rows[1]["hausdorff95_mm"]) == pytest.approx((0.5 + 2.0) / 2)
    assert float(rows[1]["fold_fraction"]) == 0.0


def test_labels_csv_has_a_row_for_each_label(job):
    run(job)
    rows = [(r["method"], int(r["label"]), float(r["dice"])) for r in table(job, "labels")]
    assert rows == [("affine", 4, 0.0), ("affine", 9, 0.0), ("network", 4, 0.75), ("network", 9, 0.0)]


def test_the_summary_has_means_labels_and_settings(job):
    run(job)
    written = summary(job)
    assert written["methods"]["network"]["pairs"] == 1
    assert written["methods"]["network"]["mean"]["dice"] == 0.375
    assert written["methods"]["network"]["labels"]["4"]["dice"] == 0.75
    assert written["methods"]["affine"]["mean"]["seconds"] is None
    assert written["settings"]["model"] == job["model"]
    assert written["settings"]["normalization"] == "minmax"


def test_the_table_can_be_read(job):
    run(job)
    with open(f"{job['output_dir']}/table.md") as stream:
        lines = stream.read().splitlines()
    assert lines[0].startswith("| method | pairs | Dice | HD95 mm |")
    assert lines[2].startswith("| affine | 1 | 0.0000 (0.0000) |")
    assert lines[3].startswith("| network | 1 | 0.3750 (0.0000) | 1.25 |")
    assert len({line.count("|") for line in lines}) == 1


def test_seconds_and_memory_are_measured(job):
    (pair,) = run(job)
    assert 0 < pair["network"].seconds < 60
    assert 50 < pair["network"].peak_memory_mib < 64 * 1024


def test_the_seconds_are_not_those_of_building_the_graph(job, tmp_path):
    (tmp_path / "pairs.txt").write_text("moving.npz fixed.npz\n" * 3)
    seconds = [pair["network"].seconds for pair in run(job)]
    assert seconds[0] < 20 * max(min(seconds), 1e-3)


def test_the_deformation_is_scored(job, constant_network, tmp_path, rng):
    network = constant_network(SHAPE, (0, 0))
    flow = network.get_layer("flow")
    flow.set_weights([rng.normal(0, 30, flow.get_weights()[0].shape), np.zeros(2)])
    network.metadata = {"normalization": "minmax"}
    network.save(tmp_path / "wild.keras")
    (pair,) = run(job, model=str(tmp_path / "wild.keras"))
    (tmp_path / "list.txt").write_text("moving.npz\nfixed.npz\n")
    store = ScanStore(read_list(tmp_path / "list.txt"), "minmax")
    displacement = register_pair(load_model(tmp_path / "wild.keras"), store.image(0), store.image(1)).displacement
    assert pair["network"].fold_fraction == pytest.approx(metrics.fold_fraction(displacement)) != 0.0
    assert pair["network"].non_diffeomorphic_volume == pytest.approx(metrics.non_diffeomorphic_volume(displacement))
    assert pair["network"].log_jacobian_std == pytest.approx(metrics.log_jacobian_std(displacement))


def test_four_columns_name_the_segmentations(job, tmp_path, rng):
    affine = np.diag([*SPACING_MM, 1.0, 1.0])
    for name, array in {
        "m.nii.gz": rng.random(SHAPE),
        "f.nii.gz": rng.random(SHAPE),
        "m_labels.nii": moving_labels(),
        "f_labels.nii": fixed_labels(),
    }.items():
        nibabel.save(nibabel.Nifti1Image(array[..., None], affine), tmp_path / name)
    (tmp_path / "pairs.txt").write_text("m.nii.gz f.nii.gz m_labels.nii f_labels.nii\n")
    (pair,) = run(job)
    assert pair["network"].labels[4]["dice"] == 0.75
    assert pair["network"].labels[9]["hausdorff95_mm"] == pytest.approx(4 * 0.5)


@pytest.mark.parametrize("line, count", [("moving.npz", 1), ("a b c", 3), ("a b c d e", 5)])
def test_another_number_of_columns_is_refused_with_the_line(job, tmp_path, line, count):
    (tmp_path / "pairs.txt").write_text(f"# pairs\nmoving.npz fixed.npz\n{line}\n")
    with pytest.raises(InputError, match=f"pairs.txt, line 3: .*got {count} entries"):
        run(job)


def test_a_list_without_pairs_is_refused(job, tmp_path):
    (tmp_path / "pairs.txt").write_text("# none\n")
    with pytest.raises(InputError, match="pairs.txt: the list names no pair"):
        run(job)


def test_without_labels_there_are_still_folds_and_seconds(job, write):
    write("moving.npz")
    write("fixed.npz")
    (pair,) = run(job)
    assert pair["network"].labels == {} and math.isnan(pair["network"].mean("dice"))
    network = summary(job)["methods"]["network"]
    assert network["mean"]["dice"] is None
    assert network["mean"]["fold_fraction"] == 0.0 and network["mean"]["seconds"] > 0
    assert table(job, "pairs")[1]["dice"] == "nan"
    assert table(job, "labels") == []


def test_one_map_of_two_is_no_dice(job, write):
    write("moving.npz")
    (pair,) = run(job)
    assert pair["network"].labels == {}


def test_the_val_folder_makes_every_ordered_pair(job, write):
    for k in range(3):
        write(f"set/val/s{k}.npz", moving_labels())
        write(f"set/train/t{k}.npz", moving_labels())
    pairs = run(job, pairs="", data_dir=str(write("set/val/s0.npz").parents[1]), surface=False)
    names = {(pair["network"].moving, pair["network"].fixed) for pair in pairs}
    assert names == {(f"s{a}", f"s{b}") for a in range(3) for b in range(3) if a != b}


def test_a_list_of_scans_makes_every_ordered_pair(job, tmp_path):
    (tmp_path / "val.txt").write_text("moving.npz\nfixed.npz\n")
    pairs = run(job, pairs="", val_list=str(tmp_path / "val.txt"))
    assert [(p["network"].moving, p["network"].mean("dice")) for p in pairs] == [("moving", 0.375), ("fixed", 0.0)]


def test_at_most_max_pairs_are_scored(job, tmp_path):
    (tmp_path / "val.txt").write_text("moving.npz\nfixed.npz\n")
    assert len(run(job, pairs="", val_list=str(tmp_path / "val.txt"), max_pairs=1)) == 1


def test_an_atlas_is_the_fixed_image_of_every_pair(job, tmp_path, write):
    write("other.npz", moving_labels())
    (tmp_path / "val.txt").write_text("moving.npz\nother.npz\n")
    pairs = run(job, pairs="", val_list=str(tmp_path / "val.txt"), atlas=str(tmp_path / "fixed.npz"))
    names = [(p["network"].moving, p["network"].fixed, p["network"].mean("dice")) for p in pairs]
    assert names == [("moving", "fixed", 0.375), ("other", "fixed", 0.375)]


def test_images_of_different_shapes_are_scored_on_one_grid(job, write):
    # Centred on 15 x 18, the smaller moving map lies 1 further down and 2 to the right.
    write("moving.npz", moving_labels()[1:14, 2:16], spacing_mm=np.array(SPACING_MM))
    (pair,) = run(job)
    assert {label: scores["dice"] for label, scores in pair["network"].labels.items()} == {4: 0.75, 9: 0.0}
    assert {label: scores["dice"] for label, scores in pair["affine"].labels.items()} == {4: 0.0, 9: 0.0}


def test_beyond_a_smaller_map_there_is_no_label(job, write):
    # 13 x 18 voxels, all of them label 4, lie on rows 1 to 13 of the fixed map; nothing of them beyond.
    write("moving.npz", np.full((13, 18), 4, "uint8"))
    write("fixed.npz", np.full(SHAPE, 4, "uint8"))
    (pair,) = run(job, surface=False)
    assert pair["affine"].labels[4]["dice"] == pytest.approx(2 * 13 / (13 + 15))


def test_one_validation_scan_makes_no_pair(job, tmp_path):
    (tmp_path / "val.txt").write_text("moving.npz\n")
    with pytest.raises(InputError, match=r"val.txt: 1 scan\(s\) for validation make no pair"):
        run(job, pairs="", val_list=str(tmp_path / "val.txt"))


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_registered(job, tmp_path):
    (tmp_path / "file").write_text("a regular file")
    with pytest.raises(InputError, match="file/out: cannot be written"):
        run(job, output_dir=str(tmp_path / "file" / "out"), model=str(tmp_path / "not even there.keras"))


def test_images_with_another_number_of_channels_are_refused(job, tmp_path, constant_network):
    constant_network(SHAPE, SHIFT, channels=2).save(tmp_path / "two.keras")
    with pytest.raises(ValueError, match="2 channel"):
        run(job, model=str(tmp_path / "two.keras"))


def test_tables_of_before_survive_a_run_that_fails(job):
    run(job)
    with open(f"{job['output_dir']}/summary.json") as stream:
        before = stream.read()
    with pytest.raises(InputError, match="no such model file"):
        run(job, model="gone.keras")
    with open(f"{job['output_dir']}/summary.json") as stream:
        assert stream.read() == before


def test_a_list_of_pairs_is_cut_too(tmp_path, write):
    for name in ("a.npz", "b.npz"):
        write(name, fixed_labels())
    (tmp_path / "pairs.txt").write_text("a.npz b.npz\nb.npz a.npz\n")
    assert find_pairs(EvaluateConfig(pairs=str(tmp_path / "pairs.txt"), max_pairs=1))[1] == [(0, 1)]


def test_negative_labels_are_named_before_the_first_pair(job, write, tmp_path):
    labels = fixed_labels().astype("int16")
    labels[0, 0] = -1
    write("bad.npz", labels)
    (tmp_path / "bad.txt").write_text("bad.npz bad.npz\n")
    with pytest.raises(InputError, match="bad.npz: label ids are 0 or more"):
        run(job, pairs=str(tmp_path / "bad.txt"))


def test_pairs_without_segmentations_are_counted_beside_the_means(job, write, tmp_path, caplog):
    write("bare.npz", spacing_mm=np.array(SPACING_MM))
    (tmp_path / "val.txt").write_text("moving.npz\nfixed.npz\nbare.npz\n")
    run(job, pairs="", val_list=str(tmp_path / "val.txt"), report=str(tmp_path / "set.html"))
    assert "1 of 3 scans have no segmentation (bare): Dice and distances are those of 2 of 6 pairs" in caplog.text
    network = summary(job)["methods"]["network"]
    assert (network["pairs"], network["scored"]["dice"], network["scored"]["seconds"]) == (6, 2, 6)
    with open(f"{job['output_dir']}/table.md") as stream:
        assert "| network | 6 | 0.1875 (0.1875), n=2 |" in stream.read()
    assert "before and after, of 2 of 6 pairs" in (tmp_path / "set.html").read_text()


def test_scans_of_one_file_name_have_names_of_their_own(job, write, tmp_path):
    for place in ("sub-1", "sub-2", "atlas"):
        write(f"{place}/ct.npz", moving_labels(), spacing_mm=np.array(SPACING_MM))
    (tmp_path / "val.txt").write_text("sub-1/ct.npz\nsub-2/ct.npz\n")
    run(job, pairs="", val_list=str(tmp_path / "val.txt"), atlas=str(tmp_path / "atlas" / "ct.npz"))
    names = [(row["moving"], row["fixed"]) for row in table(job, "pairs")[1::2]]
    assert names == [("sub-1/ct", "ct"), ("sub-2/ct", "ct")]


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"max_pairs": "3"}, "max_pairs is a whole number; got '3'"),
        ({"surface": "no"}, "surface is True or False"),
        ({"labels": 4}, "labels is a tuple, each entry a whole number; got 4"),
        ({"labels": ("4",)}, "labels is a tuple"),
        ({"spacing_mm": 2.0}, "spacing_mm is a tuple, each entry a number"),
    ],
)
def test_a_setting_of_another_type_is_refused(setting, message):
    with pytest.raises(InputError, match=message):
        EvaluateConfig(**setting)


def test_a_path_may_be_a_path_object(tmp_path):
    assert EvaluateConfig(data_dir=tmp_path).data_dir == str(tmp_path)


@pytest.mark.parametrize("other", ("data_dir", "val_list", "atlas"))
def test_a_list_of_pairs_and_what_it_replaces_exclude_each_other(job, other):
    with pytest.raises(InputError, match=f"With pairs, {other} would do nothing"):
        run(job, **{other: "somewhere"})
