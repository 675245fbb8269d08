"""The main job: train, evaluate, export, register, through the scripts of a checkout; and the demo."""

import csv
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from skimage.io import imread

from vxm_tf.data.synthetic.phantoms import write_population
from vxm_tf.report.panel_layout import panel_layout
from vxm_tf.report.planes import planes_of
from vxm_tf.workflows import demonstration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Folder in which the four scripts have run, one after the other."""
    folder = tmp_path_factory.mktemp("job")
    write_population(folder / "data", (32, 32), num_train=3, num_val=2)
    affine = np.diag([2.0, 2.0, 1.0, 1.0])
    for name, number in (("moving", 3), ("fixed", 4)):
        with np.load(folder / "data" / "val" / f"phantom_00{number}.npz") as archive:
            nibabel.save(nibabel.Nifti1Image(archive["vol"], affine), folder / f"{name}.nii.gz")
            nibabel.save(nibabel.Nifti1Image(archive["seg"], affine), folder / f"{name}_labels.nii.gz")
    steps = (
        "train.py --data_dir=data --output_dir=model --preset=fast --integration_steps=0 --similarity=mse --epochs=1 "
        "--steps_per_epoch=3 --max_val_pairs=1 --notensorboard",
        "evaluate.py --data_dir=data --model=model/best.keras --output_dir=evaluation",
        "export/export_model.py --model=model/best.keras --output_dir=served",
        "register.py --moving=moving.nii.gz --fixed=fixed.nii.gz --model=model/best.keras --moved=moved.nii.gz "
        "--displacement=displacement.nii.gz --labels=moving_labels.nii.gz --moved_labels=moved_labels.nii.gz",
        "register.py --moving=moving.nii.gz --fixed=fixed.nii.gz --model=none --refine=4 --output_dir=registered",
        "vxm_tf.cli.apply --transforms=registered/from-moving_to-fixed_mode-image_xfm.nii.gz --reference=fixed.nii.gz "
        "--image=moving.nii.gz --moved=applied.nii.gz --labels=moving_labels.nii.gz "
        "--moved_labels=applied_labels.nii.gz",
    )
    for step in steps:
        script, *arguments = step.split()
        command = [sys.executable, *([ROOT / script] if script.endswith(".py") else ["-m", script]), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        (folder / f"{Path(script).stem}.txt").write_text(done.stdout + done.stderr)
    return folder


def test_training_leaves_a_model(job):
    assert (job / "model" / "best.keras").is_file()
    assert json.loads((job / "model" / "config.json").read_text())["preset"] == "fast"


def test_training_logs_plainly(job):
    lines = (job / "train.txt").read_text().splitlines()
    assert any(re.fullmatch(r"\d\d:\d\d:\d\d Training on 3 scans, 1 validation pairs, .*", line) for line in lines)
    assert not any(line.startswith(("INFO:", "I1")) for line in lines)


def test_evaluation_leaves_tables(job):
    with open(job / "evaluation" / "pairs.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == ["affine", "network"] * 2
    assert all(0.2 < float(row["dice"]) < 1.0 for row in rows)
    assert (job / "evaluation" / "table.md").read_text() in (job / "evaluate.txt").read_text()


def test_export_leaves_a_saved_model(job):
    assert (job / "served" / "1" / "saved_model.pb").stat().st_size > 1000


def test_registration_leaves_volumes_on_the_fixed_grid(job):
    fixed = nibabel.load(job / "fixed.nii.gz")
    for name, shape in (("moved", (32, 32)), ("displacement", (32, 32, 2)), ("moved_labels", (32, 32))):
        volume = nibabel.load(job / f"{name}.nii.gz")
        assert volume.shape == shape
        np.testing.assert_array_equal(volume.affine, fixed.affine)


def test_a_registration_without_a_model_leaves_a_picture_and_moves_something(job):
    assert imread(job / "registered" / "from-moving_to-fixed_mode-image_xfm.png").std() > 10
    metrics = json.loads((job / "registered" / "from-moving_to-fixed_mode-image_xfm.json").read_text())["Metrics"]
    assert metrics["refine_steps"] == 4 and metrics["mean_displacement_mm"] > 0.01


def test_what_was_written_moves_the_image_again_as_it_did(job):
    moved = nibabel.load(job / "registered" / "space-fixed_desc-moved_image.nii.gz").get_fdata()
    np.testing.assert_allclose(nibabel.load(job / "applied.nii.gz").get_fdata(), moved, atol=1e-3)
    assert set(np.unique(nibabel.load(job / "applied_labels.nii.gz").dataobj)) > {0}


def test_without_data_the_command_trains_on_phantoms_and_says_so(call, tiny, tmp_path, monkeypatch, caplog):
    module = importlib.import_module("vxm_tf.training.run_training")
    monkeypatch.setattr(module, "PHANTOM_SHAPE", (16, 16))
    flags = ("--preset=fast", "--similarity=mse", "--epochs=1", "--steps_per_epoch=2", "--max_val_pairs=1")
    answer = call("train", *flags, "--notensorboard", f"--output_dir={tmp_path}/out")
    assert answer.code == 0, answer.err
    assert "No --data_dir: training on procedural head phantoms" in caplog.text
    assert (tmp_path / "out" / "best.keras").is_file()


def test_the_demo_does_the_whole_job(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(demonstration, "SHAPE", (32, 32))
    config = demonstration.DemoConfig(output_dir=str(tmp_path / "demo"), epochs=1, steps_per_epoch=2)
    before, after = demonstration.demonstrate(config)
    assert 0.2 < before < 1.0 and 0.2 < after < 1.0
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {"phantoms", "model", "evaluation", "served", "pair", "registration.png"}
    layout = panel_layout((32, 32), (1.0, 1.0), planes_of(2, False), zoom=3, widest=2000)
    assert layout.pictures == ((104, 104),)
    assert imread(tmp_path / "demo" / "registration.png").shape[:2] == layout.size[::-1]
