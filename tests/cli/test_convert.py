"""vxm-convert writes a model that every other command takes, and refuses what it cannot adopt."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from vxm_tf.cli.convert import main

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "tests" / "models" / "legacy" / "files"
ARCHITECTURE = json.loads((FILES / "weights_only.json").read_text())


@pytest.fixture
def convert(call, capsys, compiler):
    """convert(*arguments) -> exit code and both outputs; `call` puts logging back afterwards."""
    compiler(None)

    def run(*arguments):
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


@pytest.fixture
def refused(convert, tmp_path):
    """refused(*arguments, says): exit code 1, one error that holds the parts, and no file more or less."""

    def check(*arguments, says):
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        answer = convert(*arguments)
        assert answer.code == 1 and "Traceback" not in answer.err
        assert answer.err.count("Error: ") == 1
        for part in says:
            assert part in answer.err
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

    return check


@pytest.fixture
def new(convert, tmp_path):
    """A converted network for images of 16 x 24 voxels."""
    answer = convert(FILES / "two_d.h5", tmp_path / "new.keras")
    assert answer.code == 0, answer.err
    return tmp_path / "new.keras"


def test_the_new_file_is_announced_with_what_it_holds(convert, tmp_path):
    answer = convert(FILES / "two_d.h5", tmp_path / "new.keras")
    for part in (str(tmp_path / "new.keras"), "VxmDense", "(16, 24)", "7 integration steps", "normalisation none"):
        assert part in answer.err
    assert "on a synthetic pair" in answer.err  # The warning about a random network is logged.
    assert [path.name for path in tmp_path.iterdir()] == ["new.keras"]


def test_a_converted_network_registers_as_the_original_did(new, call, tmp_path):
    with np.load(FILES / "two_d.npz") as archive:
        expected = dict(archive)
    for name in ("moving", "fixed"):
        np.savez(tmp_path / f"{name}.npz", vol=expected[name][0, ..., 0])
    arguments = [f"--{name}={tmp_path / name}.npz" for name in ("moving", "fixed", "moved", "displacement")]
    answer = call("register", f"--model={new}", *arguments)
    assert answer.code == 0, answer.err
    ours = {name: np.load(tmp_path / f"{name}.npz")["vol"] for name in ("moved", "displacement")}
    np.testing.assert_allclose(ours["displacement"], expected["displacement"][0], rtol=0, atol=1e-4)
    # The original repeats the edge of the moving image; what is written in world space ends half a voxel beyond it.
    location = np.moveaxis(np.indices((16, 24)), 0, -1) + ours["displacement"]
    inside = np.all((location >= 0) & (location <= (15, 23)), axis=-1)
    assert inside.mean() > 0.7
    np.testing.assert_allclose(ours["moved"][inside], expected["moved"][0, ..., 0][inside], rtol=0, atol=1e-5)


def test_a_converted_network_is_trained_further_evaluated_and_exported(new, call, scans, tmp_path):
    before = keras.models.load_model(new).get_weights()
    answer = call(
        "train", f"--data_dir={scans}", f"--initial_model={new}", f"--output_dir={tmp_path / 'out'}", "--epochs=1",
        "--steps_per_epoch=2", "--similarity=mse", "--notensorboard", "--max_val_pairs=1",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    trained = keras.models.load_model(tmp_path / "out" / "best.keras")
    assert trained.settings["resize_rule"] == "corners"
    after = trained.get_weights()
    assert [array.shape for array in after] == [array.shape for array in before]
    assert all(0 < np.abs(ours - old).max() < 0.1 for ours, old in zip(after[::2], before[::2], strict=True))
    answer = call(
        "evaluate",
        f"--data_dir={scans}",
        f"--model={new}",
        f"--output_dir={tmp_path / 'evaluation'}",
        "--validation_fraction=0.5",
    )
    assert answer.code == 0, answer.err
    assert list((tmp_path / "evaluation").iterdir())
    answer = call("export", f"--model={new}", f"--output_dir={tmp_path / 'served'}")
    assert answer.code == 0, answer.err
    assert (tmp_path / "served" / "1" / "saved_model.pb").is_file()


def test_python_m_converts_from_a_checkout(tmp_path):
    command = [sys.executable, "-m", "vxm_tf.cli.convert", FILES / "reg_field_warp.h5", tmp_path / "new.keras"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new.keras").is_file()


@pytest.mark.parametrize(
    "arguments, got", [((), "nothing"), (("a.h5",), "a.h5"), (("a.h5", "b.keras", "c"), "b.keras c")]
)
def test_another_number_of_files_is_refused(refused, arguments, got):
    refused(
        *arguments, says=["Expected 2 arguments, OLD.h5 NEW.keras", f"got {got if len(arguments) < 3 else 'a.h5 '}"]
    )


def test_the_other_commands_still_take_flags_only(call):
    answer = call("register", "file.keras")
    assert answer.code == 1 and "Unexpected arguments file.keras; every argument is a flag" in answer.err


def test_a_new_name_that_does_not_end_in_keras_is_refused(refused, tmp_path):
    refused(FILES / "two_d.h5", tmp_path / "new.h5", says=[str(tmp_path / "new.h5"), "must end in .keras"])


@pytest.mark.parametrize("as_file", [False, True], ids=["JSON", "file"])
def test_the_architecture_is_json_or_a_file_of_it(convert, tmp_path, as_file):
    given = FILES / "weights_only.json" if as_file else json.dumps(ARCHITECTURE)
    answer = convert(FILES / "weights_only.h5", tmp_path / "new.keras", f"--architecture={given}")
    assert answer.code == 0, answer.err
    network = keras.models.load_model(tmp_path / "new.keras")
    assert network.settings["image_shape"] == tuple(ARCHITECTURE["inshape"])


@pytest.mark.parametrize(
    "given, says",
    [
        ("{broken", "neither JSON nor a file"),
        ("gone.json", "neither JSON nor a file"),
        ("[1]", "neither JSON nor a file"),
    ],
)
def test_a_broken_architecture_is_refused(refused, tmp_path, given, says):
    refused(FILES / "weights_only.h5", tmp_path / "new.keras", f"--architecture={given}", says=[given, says])


def test_an_architecture_file_that_holds_a_list_is_refused(refused, tmp_path):
    (tmp_path / "list.json").write_text("[8, 12, 16]")
    arguments = FILES / "weights_only.h5", tmp_path / "new.keras", f"--architecture={tmp_path / 'list.json'}"
    refused(*arguments, says=["expected names and values in braces"])


@pytest.mark.parametrize("given, recorded", [((), "none"), (("--normalization=percentile",), "percentile")])
def test_normalization_is_recorded(convert, tmp_path, given, recorded):
    assert convert(FILES / "reg_field_warp.h5", tmp_path / "new.keras", *given).code == 0
    assert keras.models.load_model(tmp_path / "new.keras").metadata["normalization"] == recorded


@pytest.mark.parametrize("given, rule", [((), "corners"), (("--noparity",), "areas")])
def test_parity_sets_the_rule_of_resizing(convert, tmp_path, given, rule):
    assert convert(FILES / "reg_field_warp.h5", tmp_path / "new.keras", *given).code == 0
    assert keras.models.load_model(tmp_path / "new.keras").settings["resize_rule"] == rule


def test_a_file_that_exists_stays_as_it_was_when_conversion_fails(refused, tmp_path):
    (tmp_path / "new.keras").write_bytes(b"of value")
    refused(FILES / "svf_2_int_1.h5", tmp_path / "new.keras", says=["svf_resolution 2", "cannot be adopted"])
