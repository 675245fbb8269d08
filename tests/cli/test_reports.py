"""Reports through the commands: written where they were asked for, refused before any work."""

import configparser
import fnmatch
import json
from pathlib import Path

import pytest

from vxm_tf.workflows import outputs
from vxm_tf.workflows.certificate_record import certificate_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pair(nifti):
    return f"--moving={nifti('a.nii.gz')}", f"--fixed={nifti('b.nii.gz')}", "--model=none", "--refine=0"


def test_register_writes_a_report_with_a_certificate_of_its_own(call, pair, tmp_path):
    answer = call("register", *pair, f"--report={tmp_path}/deep/r.html")
    assert answer.code == 0, answer.err
    page = (tmp_path / "deep" / "r.html").read_text()
    assert "a.nii.gz → b.nii.gz" in page and "Folds nowhere" in page and "Nothing was deformed" in page
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["r.html"]


def test_a_folder_of_outputs_has_a_report_that_names_them(call, pair, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(outputs, "certificate_of", lambda *given: made.append(certificate_of(*given)) or made[-1])
    assert call("register", *pair, f"--output_dir={tmp_path}/out").code == 0
    assert len(made) == 1
    page = (tmp_path / "out" / "from-a_to-b_desc-report_xfm.html").read_text()
    certificate = json.loads((tmp_path / "out" / "from-a_to-b_desc-certificate_xfm.json").read_text())
    assert set(certificate["outputs"]) >= {"moved", "transform"}
    assert all(file["sha256"] in page for file in certificate["outputs"].values())


@pytest.mark.parametrize(("name", "says"), [("r.pdf", "ends in .html"), ("file/r.html", "cannot be written")])
@pytest.mark.parametrize("command", ("register", "evaluate"))
def test_a_place_for_the_report_is_checked_before_anything_is_read(call, tmp_path, command, name, says):
    (tmp_path / "file").write_text("a regular file")
    arguments = {"register": ("--moving=gone.nii", "--fixed=gone.nii"), "evaluate": ("--pairs=gone.txt",)}[command]
    answer = call(command, *arguments, "--model=gone.keras", f"--report={tmp_path}/{name}", "--debug=false")
    assert answer.code == 1 and says in answer.err and "gone" not in answer.err


def test_a_folder_is_no_place_for_a_report(call, tmp_path):
    (tmp_path / "r.html").mkdir()
    answer = call("register", "--moving=gone.nii", "--fixed=gone.nii", f"--report={tmp_path}/r.html")
    assert answer.code == 1 and "is a folder" in answer.err


def test_evaluate_writes_a_page_of_the_set(call, scans, model, tmp_path):
    arguments = (f"--model={model}", f"--data_dir={scans}", "--validation_fraction=0.5", f"--output_dir={tmp_path}/out")
    answer = call("evaluate", *arguments, f"--report={tmp_path}/set.html")
    assert answer.code == 0, answer.err
    page = (tmp_path / "set.html").read_text()
    assert page.count('class="case"') == 2 and "2 registered pairs" in page and "model_sha256" in page


def test_every_file_of_the_pages_is_part_of_the_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.package_data"]["vxm_tf.report"].split()
    folder = ROOT / "vxm_tf" / "report"
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    files = [str(path) for path in files if path.suffix not in (".py", ".pyc")]
    assert len(files) > 6 and all(any(fnmatch.fnmatch(name, pattern) for pattern in patterns) for name in files)
