"""Means, deviations and rounding of the tables, by hand."""

import csv
import json
import math

import pytest

from vxm_tf.evaluation.scores import PairScores
from vxm_tf.evaluation.tables import markdown, summarise, write_tables


def scores(dice, method="network", **settings):
    labels = {label: {"dice": value} for label, value in dice.items()}
    return PairScores("m", "f", method, labels, **settings)


@pytest.fixture
def rows():
    return [
        scores({1: 0.5, 2: 0.7}, "affine"),
        scores({1: 0.8, 2: 1.0}, fold_fraction=0.001, seconds=1.0),
        scores({1: 0.4}, "affine"),
        scores({1: 0.6, 3: math.nan}, fold_fraction=0.003, seconds=3.0),
    ]


def test_the_mean_of_a_pair_leaves_out_what_is_not_defined():
    assert scores({1: 0.5, 2: math.nan, 3: 1.0}).mean("dice") == 0.75
    assert math.isnan(scores({1: math.nan}).mean("dice"))
    assert math.isnan(scores({1: 0.5}).mean("hausdorff95_mm"))


def test_means_and_deviations_are_over_pairs(rows):
    network = summarise(rows)["network"]
    assert network["pairs"] == 2
    assert network["mean"]["dice"] == pytest.approx((0.9 + 0.6) / 2)
    assert network["std"]["dice"] == pytest.approx(0.15)
    assert (network["mean"]["fold_fraction"], network["mean"]["seconds"]) == pytest.approx((0.002, 2.0))


def test_means_of_a_label_are_over_the_pairs_that_have_it(rows):
    labels = summarise(rows)["affine"]["labels"]
    assert (labels["1"]["dice"], labels["2"]["dice"]) == pytest.approx((0.45, 0.7))
    assert math.isnan(summarise(rows)["network"]["labels"]["3"]["dice"])


def test_the_table_rounds_and_marks_what_is_not_defined(rows):
    cells = [line.split(" | ") for line in markdown(summarise(rows)).splitlines()]
    assert cells[3][:4] == ["| network", "2", "0.7500 (0.1500)", "–"]
    assert cells[3][5] == "0.2000"
    assert cells[2][8] == "–"


def test_what_is_not_defined_is_null_in_json(rows, tmp_path):
    write_tables(tmp_path, rows, {"spacing_mm": (1.0, 2.0)})
    text = (tmp_path / "summary.json").read_text()
    assert "NaN" not in text
    written = json.loads(text)
    assert written["methods"]["affine"]["mean"]["seconds"] is None
    assert written["settings"]["spacing_mm"] == [1.0, 2.0]


def test_the_table_is_returned_as_written(rows, tmp_path):
    assert write_tables(tmp_path, rows, {}) == (tmp_path / "table.md").read_text()


def test_a_mean_over_fewer_pairs_has_their_number_beside_it(rows):
    summary = summarise([*rows, scores({}, fold_fraction=0.002, seconds=2.0), scores({}, "affine")])
    assert summary["network"]["pairs"] == 3
    assert summary["network"]["scored"] == {
        "dice": 2, "hausdorff95_mm": 0, "mean_surface_mm": 0, "fold_fraction": 3, "non_diffeomorphic_volume": 3,
        "log_jacobian_std": 3, "seconds": 3, "peak_memory_mib": 0,
    }  # fmt: skip
    assert summary["affine"]["labels"]["2"]["scored"]["dice"] == 1
    cells = markdown(summary).splitlines()[3].split(" | ")
    assert cells[1:4] == ["3", "0.7500 (0.1500), n=2", "–"]
    assert cells[5] == "0.2000"


def test_every_row_of_pairs_says_how_many_labels_its_mean_is_of(rows, tmp_path):
    write_tables(tmp_path, rows, {})
    with open(tmp_path / "pairs.csv", newline="") as stream:
        assert [row["labels"] for row in csv.DictReader(stream)] == ["2", "2", "1", "1"]
