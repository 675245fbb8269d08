"""No notebook is left without a test that runs it."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
NOTEBOOKS = TESTS.parents[1] / "docs" / "notebooks"


def test_every_notebook_has_a_test_of_its_name():
    names = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    assert names and [name for name in names if not (TESTS / f"test_{name}.py").exists()] == []
