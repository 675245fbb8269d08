"""The scripts of a checkout and the commands of an installation are one, and oneDNN is on in all of them."""

import configparser
import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from vxm_tf.cli import export
from vxm_tf.workflows import export_network

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("train.py", "evaluate.py", "register.py", "export/export_model.py", "export/serve_local.py")
# Says what the environment holds at the moment when TensorFlow or Keras is first looked for, and ends there.
WATCH = """
    import os, runpy, sys

    class Watch:
        def find_spec(self, name, path=None, target=None):
            if name in ("tensorflow", "keras"):
                print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"), flush=True)
                os._exit(0)

    sys.meta_path.insert(0, Watch())
    target = sys.argv[1]
    __import__(target) if target == "vxm_tf" else runpy.run_path(target, run_name="__main__")
    print("never looked for")
"""


@pytest.mark.parametrize("given, expected", [(None, "1"), ("0", "0"), ("1", "1")])
@pytest.mark.parametrize("target", ("vxm_tf", *SCRIPTS))
def test_onednn_is_on_before_tensorflow_is_imported_unless_the_user_says_otherwise(target, given, expected):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {"PYTHONPATH": str(ROOT), **({} if given is None else {"TF_ENABLE_ONEDNN_OPTS": given})}
    command = [sys.executable, "-c", textwrap.dedent(WATCH), target]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == expected, done.stderr


def test_help_of_a_script_run_from_elsewhere(tmp_path):
    command = [sys.executable, ROOT / "train.py", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "--data_dir: Folder of scans" in done.stdout


def test_an_error_of_a_script_is_one_line_and_exit_code_1(tmp_path):
    command = [sys.executable, ROOT / "export" / "export_model.py", "--model=gone.keras", "--output_dir=served"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Error: gone.keras: there is no such model file."
    assert "Traceback" not in done.stderr + done.stdout
    assert not list(tmp_path.iterdir())


def console_scripts():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return dict(line.split(" = ") for line in config["options.entry_points"]["console_scripts"].strip().splitlines())


@pytest.mark.parametrize("name", [name.removeprefix("vxm-") for name in console_scripts()])
def test_every_command_is_a_module_that_runs(name):
    """A module without this line does nothing, and ends with 0."""
    module = console_scripts()[f"vxm-{name}"].split(":")[0]
    path = ROOT / (module.replace(".", "/") + ".py")
    assert path.read_text().endswith('\n\nif __name__ == "__main__":\n    main()\n')


@pytest.mark.parametrize("name", ("register", "apply", "compose", "invert", "calibrate", "certify", "client"))
def test_an_installed_command_without_a_script_runs_as_a_module(name, tmp_path):
    module, function = console_scripts()[f"vxm-{name}"].split(":")
    command = importlib.import_module(module)
    assert callable(getattr(command, function))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and command.DESCRIPTION in done.stdout, done.stderr


@pytest.mark.parametrize("name", ("train", "evaluate", "register", "export", "serve"))
def test_an_installed_command_is_the_one_of_the_script(name):
    module, function = console_scripts()[f"vxm-{name}"].split(":")
    assert module == f"vxm_tf.cli.{name}"
    assert callable(getattr(importlib.import_module(module), function))
    script = {"export": "export/export_model.py", "serve": "export/serve_local.py"}.get(name, f"{name}.py")
    assert f"from {module} import {function}" in (ROOT / script).read_text()


def test_the_network_of_the_package_is_exported_from_its_file(monkeypatch):
    given = {}
    monkeypatch.setattr(export_network, "load_model", lambda model: model)
    monkeypatch.setattr(
        export_network, "export_saved_model", lambda *_, origin, **__: given.update(model=origin.model) or "served/1"
    )
    export.main(["--model=shipped", "--output_dir=served"])
    assert Path(given["model"]).is_file()
