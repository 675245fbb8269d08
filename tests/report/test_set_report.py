"""The page of a set: the worst first, bounded, and with what it was given."""

import math
import re

import numpy as np
import pytest

from vxm_tf.evaluation.scores import PairScores
from vxm_tf.registration import Registration
from vxm_tf.report import SetReport
from vxm_tf.report.plots import histogram, label_boxes
from vxm_tf.report.registration_page import LIMIT_BYTES
from vxm_tf.report.set_report import WORST


def add(report, rng, name, dice=None, like=1.0, shape=(8, 9, 10), folds=0.0):
    """One pair whose moved image correlates with the fixed one the more, the larger `like` is."""
    fixed = rng.random((*shape, 1), "float32")
    moved = (like * fixed + (1 - like) * rng.random((*shape, 1), "float32")).astype("float32")
    labels = {} if dice is None else {4: {"dice": dice, "hausdorff95_mm": 2.0}}
    before = PairScores(name, "atlas", "affine", {4: {"dice": 0.4}} if labels else {})
    after = PairScores(name, "atlas", "network", labels, folds, folds, 0.1, 0.5, 100.0)
    displacement = np.zeros((*shape, len(shape)), "float32")
    report.add(before, after, rng.random((*shape, 1), "float32"), fixed, Registration(displacement, moved, 0.5))


def cases(page):
    return re.findall(r"<h3>\d+\. (.*?) → atlas</h3>", page)


def rows(page):
    return re.findall(r'<tr><th scope="row">([^<]*) → atlas</th>', page)


def test_the_lowest_dice_comes_first_and_the_rest_is_left_without_pictures(rng):
    report = SetReport()
    values = rng.permutation(np.linspace(0.2, 0.9, 20))
    for k, dice in enumerate(values):
        add(report, rng, f"p{k}", float(dice))
    expected = [f"p{k}" for k in np.argsort(values)]
    page = report.page({})
    assert cases(page) == expected[:WORST] and rows(page) == expected
    assert page.count("data:image/png;base64") == WORST


def test_without_segmentations_the_least_alike_comes_first(rng):
    report = SetReport()
    for name, like in (("b", 0.5), ("a", 0.1), ("c", 0.9)):
        add(report, rng, name, like=like)
    page = report.page({})
    assert cases(page) == rows(page) == ["a", "b", "c"]
    assert "No pair has segmentations" in page and "<button" in page and "Dice" not in page


def test_pairs_without_segmentations_follow_those_with(rng):
    report = SetReport()
    add(report, rng, "bare", like=0.0)
    add(report, rng, "good", 0.95)
    add(report, rng, "poor", 0.2)
    assert cases(report.page({})) == ["poor", "good", "bare"]


def test_constant_images_come_first_of_those_without_segmentations(rng):
    report = SetReport()
    add(report, rng, "noise", like=0.1)
    scores = [PairScores("flat", "atlas", method, {}) for method in ("affine", "network")]
    flat = np.zeros((8, 9, 10, 1), "float32")
    report.add(*scores, flat, flat, Registration(np.zeros((8, 9, 10, 3), "float32"), flat, 0.1))
    assert cases(report.page({})) == ["flat", "noise"]


def test_facts_count_what_went_wrong(rng):
    report = SetReport()
    add(report, rng, "worse", 0.3)
    add(report, rng, "folds", 0.8, folds=0.01)
    page = report.page({})
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)<", page))
    assert facts == {
        "Pairs": "2",
        "Mean Dice": "0.400 → 0.550",
        "Worse than before": "1",
        "Folding": "1",
        "Time": "0.50 s",
    }


def test_hostile_names_and_settings_are_text(rng):
    report = SetReport()
    add(report, rng, "<i>&\"'", 0.5)
    page = report.page({"model": "<script>alert(1)</script>"})
    assert "&lt;i&gt;&amp;&quot;&#x27;" in page and "<i>&" not in page and "<script>alert" not in page


def test_images_of_different_shapes_and_2_d_can_be_shown(rng, tmp_path):
    report = SetReport()
    add(report, rng, "flat", 0.5, shape=(15, 18))
    scores = [PairScores("small", "atlas", method, {}) for method in ("affine", "network")]
    fixed = rng.random((15, 18, 1), "float32")
    result = Registration(np.zeros((15, 18, 2), "float32"), fixed, 0.1)
    report.add(*scores, rng.random((11, 20, 1), "float32"), fixed, result)
    report.write(tmp_path / "set.html", {})
    assert cases((tmp_path / "set.html").read_text()) == ["flat", "small"]


def test_a_thousand_pairs_of_noise_stay_below_the_limit(rng, tmp_path):
    report = SetReport()
    for k in range(8):
        add(report, rng, f"p{k}", 0.5 - 0.01 * k, shape=(120, 120, 120))
    report.pairs *= 1000
    report.write(tmp_path / "set.html", {})
    assert (tmp_path / "set.html").stat().st_size <= LIMIT_BYTES
    assert "The worst 5000 of 8000 pairs." in (tmp_path / "set.html").read_text()


def bars(drawing, name):
    return [float(height) for height in re.findall(rf'class="{name}"[^>]* height="([\d.]+)"', drawing)]


def test_a_histogram_has_bars_as_high_as_its_counts():
    drawing = histogram("x", [0.0, 1.0, 1.0, math.nan], [0.0, 0.0, 0.0, 0.0])
    assert bars(drawing, "after") == pytest.approx([27.0, 54.0]) and bars(drawing, "before") == pytest.approx([108.0])
    assert "Median 1, 0 to 1; before 0." in drawing


def test_values_that_are_all_one_are_said_and_not_drawn():
    drawing = histogram("x", [0.0, 0.0])
    assert "Median 0, 0 to 0." in drawing and "<svg" not in drawing
    assert histogram("x", [math.nan]) == histogram("x", []) == ""


def test_labels_are_ordered_by_their_median_the_lowest_first():
    drawing = label_boxes("Dice", {4: ([0.1], [0.9, 0.8]), 17: ([], [0.2]), 9: ([math.nan], [math.nan])})
    assert re.findall(r'text-anchor="end">(\d+)<', drawing) == ["17", "4"]
    assert label_boxes("Dice", {}) == ""
