"""The tables of the README and of the ablation are those that the benchmarks wrote."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(text):
    """The cells of every line of Markdown tables, without headings' rules."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def result(name):
    return rows((ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8"))


def table(heading):
    """The rows of the README's table whose heading begins so, without the heading."""
    after = README[README.index(f"| {heading}") :]
    return rows(after.split("\n\n")[0])[1:]


# How the README's rows begin, in its order, and what the benchmark calls them.
TOOLS = {
    "affine alone": "affine",
    "VoxelMorph 0.3.4": "VoxelMorph 0.3.4",
    "`VxmDense`, `--preset fast`": "VxmDense",
    "antspyx SyN": "syn-quick",
    "ConvexAdam": "convexadam",
    "SimpleITK demons": "demons",
    "the network that comes with the package, never": "shipped",
    "picsl-greedy": "greedy",
    "`VxmPyramid`, `--preset base`": "VxmPyramid",
    "`VxmDense --refine 75`": "VxmDense + 75 steps",
    "`--model none`": "refine from identity",
    "`VxmPyramid --refine 75`": "VxmPyramid + 75 steps",
    "the network that comes with the package, `--refine": "shipped + 75 steps",
}


def test_accuracy_on_brains_of_2_mm():
    differences = {name: f"{mean} ({interval})" for name, _, mean, interval, _ in result("contest-2mm/differences.md")}
    written = {}
    for name, _, dice, hd95, folds, spread, steady, *_ in result("contest-2mm/table.md"):
        written[name] = [dice.split()[0], differences.get(name, ""), hd95, folds, spread, steady]
    for (name, *cells), (beginning, tool) in zip(table("20 pairs of `brains-2mm/val`"), TOOLS.items(), strict=True):
        assert name.startswith(beginning)
        assert cells == written[tool]


@pytest.mark.parametrize(
    ("heading", "column", "digits"), [("steady s", 5, 2), ("first s", 6, 1), ("peak memory, MiB", 8, 0)]
)
def test_seconds_and_memory_at_1_mm(heading, column, digits):
    written = {name: float(cells[column]) for name, *cells in result("contest-1mm/table.md")[1:]}
    tools = ("syn-quick", "greedy", "VxmDense default", "VxmPyramid small", "VxmPyramid base")
    published = next(cells for cells in table("| antspyx SyN, quick") if cells[0].startswith(heading))
    assert published[1:] == [f"{written[tool]:.{digits}f}" for tool in tools]


def test_speed_beside_torch():
    heading = "one 160x192x224 pair, 2 cores"
    summary = (ROOT / "benchmarks" / "results" / "summary.md").read_text(encoding="utf-8")
    published = README[README.index(f"| {heading}") :].split("\n\n")[0]
    assert published in summary


def test_ablation(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    ablation = importlib.import_module("ablation")
    assert ablation.page(json.loads(ablation.RESULTS.read_text())) == ablation.PAGE.read_text(encoding="utf-8")
