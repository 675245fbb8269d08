"""Every notebook runs from its first cell to its last, and shows what its text promises."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "docs" / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A function: name of a notebook -> (the notebook with its outputs, the folder that it ran in)."""
    results = {}

    def run(name):
        if name not in results:
            folder = tmp_path_factory.mktemp(name)
            notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
            paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "agg"}
            client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3")
            client.execute(cwd=str(folder), env=environment)
            results[name] = (notebook, folder)
        return results[name]

    return run


def test_there_are_notebooks_for_both_jobs():
    assert NAMES == ["register_two_scans", "train_and_serve"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_without_outputs(name):
    cells = code_cells(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4))
    assert [cell for cell in cells if cell.outputs or cell.execution_count] == []


def test_two_scans_are_registered_judged_and_saved(executed):
    notebook, folder = executed("register_two_scans")
    printed = "".join(output.get("text", "") for cell in code_cells(notebook) for output in cell.outputs)
    before, after = (float(printed.split("Mean Dice: ")[1].split()[index]) for index in (0, 2))
    assert after > before + 0.1
    assert "Verdict: pass." in printed and "Folds: 0 voxels" in printed
    written = {path.suffix for path in (folder / "registered").iterdir()}
    assert written == {".gz", ".json", ".html", ".png"}
    assert "image/png" in code_cells(notebook)[-1].outputs[-1].data


def test_a_network_is_trained_exported_and_answers_through_the_server(executed):
    notebook, folder = executed("train_and_serve")
    assert (folder / "model" / "best.keras").exists()
    assert (folder / "served" / "vxm" / "1" / "saved_model.pb").exists()
    shown = code_cells(notebook)[-1].outputs[-1].data["text/plain"]
    assert shown == "((32, 32, 32), (32, 32, 32, 1, 3))"
