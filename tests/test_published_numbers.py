"""Published result tables hold the numbers that the benchmarks measured."""

import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLES = [
    (ROOT / "benchmarks" / "results" / folder / "table.md").read_text(encoding="utf-8")
    for folder in ("contest-2mm", "untrained-2mm")
]
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")

# The first pattern that occurs in a row's first cell names the row of the benchmark.
TOOLS = {
    r"affine": "affine",
    r"VoxelMorph 0\.3\.4": "VoxelMorph 0.3.4",
    r"Quick": "syn-quick",
    r"SyN": "syn-quick",
    r"ConvexAdam": "convexadam",
    r"demons": "demons",
    r"greedy": "greedy",
    r"VxmDense.*refine": "VxmDense + 75 steps",
    r"VxmPyramid.*refine": "VxmPyramid + 75 steps",
    r"VxmDense": "VxmDense",
    r"VxmPyramid": "VxmPyramid",
    r"--model none|without a network|optimisation alone": "refine from identity",
    r"--refine|refined|75 steps": "shipped + 75 steps",
    r"not trained": "shipped untrained",
    r"comes with|shipped|--model": "shipped",
}


def rows(text):
    """The cells of every line of Markdown tables, without the rules below headings."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not re.fullmatch(r"[|:\- ]+", line)]
    return [[cell.strip(" *") for cell in line.strip().strip("|").split("|")] for line in lines]


def tool_of(name):
    return next((tool for pattern, tool in TOOLS.items() if re.search(pattern, name)), None)


def result_table(text):
    """The rows, without the heading, of the first table of a Markdown text with a row for the affine alone."""
    for block in re.split(r"\n\s*\n", text):
        table = rows(block)
        if any(cells[0].startswith("affine") for cells in table):
            return table[1:]
    return []


def is_rounded(published, measured):
    """Whether a number is one of those measured, rounded to as many digits as it has."""
    digits = len(published.partition(".")[2])
    return any(abs(float(published) - number) <= 0.501 * 10**-digits for number in measured)


def test_the_table_of_the_readme_has_the_numbers_of_the_benchmark():
    published = result_table(README)
    measured = {
        name: [float(number) for cell in cells for number in NUMBER.findall(cell)]
        for table in TABLES
        for name, *cells in rows(table)[1:]
    }
    assert len(published) >= 4, "The README has no table of results with a row for the affine transform alone."
    for name, *cells in published:
        assert tool_of(name), f"Which tool of the benchmark is {name!r}?"
        numbers = [number for cell in cells if NUMBER.match(cell) for number in NUMBER.findall(cell)]
        assert numbers, f"The row {name!r} has no numbers."
        for number in numbers:
            assert is_rounded(number, measured[tool_of(name)]), f"{name}: {number} was not measured"


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_a_number_that_was_not_measured_is_noticed(digits):
    # The row of greedy has 0.7702.
    measured = [0.7702, 3.37]
    assert is_rounded(f"{0.7702:.{digits}f}", measured)
    assert not is_rounded(f"{0.7702 + 10**-digits:.{digits}f}", measured)


@pytest.mark.parametrize("name", ["results_page", "ablation"])
def test_a_generated_page_is_what_its_program_writes(monkeypatch, name):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    program = importlib.import_module(name)
    page = program.page(json.loads(program.RESULTS.read_text())) if name == "ablation" else program.page()
    assert page == program.PAGE.read_text(encoding="utf-8"), f"Run python benchmarks/{name}.py, or see its --help."
