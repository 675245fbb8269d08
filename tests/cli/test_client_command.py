"""vxm-client: scans go out as they are, and what comes back is on disk whole or not at all."""

import base64
import configparser
import dataclasses
import functools
import gzip
import importlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from absl import flags

from vxm_tf.cli import client
from vxm_tf.serving.client import Client, register_through_server
from vxm_tf.serving.client.register_through_server import ClientConfig, ProgressLog, nifti_bytes

ROOT = Path(__file__).resolve().parents[2]
NIFTI = b"\x5c\x01\0\0"


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


GOOD = (
    200,
    {},
    json.dumps({"outputs": {"moved_bytes": b64(NIFTI + b"m"), "transform_bytes": b64(NIFTI + b"t")}}).encode(),
)


@pytest.fixture
def command(call):
    """command(*arguments) -> `Answer` of vxm-client."""
    return functools.partial(call, "client")


def test_flags_and_settings_are_the_same():
    values = flags.FlagValues()
    client.define_flags(values)
    names = {field.name for field in dataclasses.fields(ClientConfig)}
    assert set(values) == names
    for name in names:
        assert f"    {name}: " in ClientConfig.__doc__
        assert values[name].default == getattr(ClientConfig(), name)


def test_the_command_is_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert "vxm-client = vxm_tf.cli.client:main" in config["options.entry_points"]["console_scripts"].splitlines()
    assert callable(importlib.import_module("vxm_tf.cli.client").main)


def test_files_go_as_they_are_and_answers_are_gzipped(command, stub_server, nifti, tmp_path):
    server, moving, fixed = stub_server(GOOD), nifti("a.nii.gz", (4, 5, 6)), nifti("b.nii", (5, 6, 7))
    folder = tmp_path / "new" / "out"
    answer = command(f"--url={server.url}", f"--moving={moving}", f"--fixed={fixed}", f"--output_dir={folder}")
    assert answer.code == 0, answer.err
    sent = server.bodies[0]["inputs"]
    assert sent == {"moving": b64(moving.read_bytes()), "fixed": b64(fixed.read_bytes())}
    assert gzip.decompress((folder / "moved.nii.gz").read_bytes()) == NIFTI + b"m"
    assert gzip.decompress((folder / "transform.nii.gz").read_bytes()) == NIFTI + b"t"
    assert sorted(file.name for file in folder.iterdir()) == ["moved.nii.gz", "transform.nii.gz"]
    assert f"Written: {folder / 'transform.nii.gz'}." in answer.err
    assert "Waiting for the registration." in answer.err


def test_model_version_and_label(command, stub_server, nifti, tmp_path):
    server, scan = stub_server(GOOD), nifti("a.nii", (4, 5, 6))
    files = f"--moving={scan}", f"--fixed={scan}", f"--output_dir={tmp_path / 'out'}", f"--url={server.url}"
    assert command(*files, "--model_name=other", "--version=2").code == 0
    assert command(*files, "--label=stable").code == 0
    paths = [path for _, path, _, _ in server.requests]
    assert paths == ["/v1/models/other/versions/2:predict", "/v1/models/vxm/labels/stable:predict"]


def test_other_formats_are_converted_in_memory(write_nibabel, affine, rng):
    array = rng.random((4, 5, 6)).astype("float32")
    path = write_nibabel("scan.mgz", array)
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(nifti_bytes(path)))
    np.testing.assert_array_equal(image.get_fdata(dtype="float32"), array)
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    assert image.header["sform_code"] or image.header["qform_code"]
    assert [file.name for file in path.parent.iterdir()] == ["scan.mgz"]


def test_an_error_of_the_server_is_one_line_and_leaves_nothing(command, stub_server, nifti, tmp_path):
    server, scan = stub_server((400, {}, b'{"error": "moving: the gzip archive is cut short."}')), nifti("a.nii")
    folder = tmp_path / "out"
    answer = command(f"--url={server.url}", f"--moving={scan}", f"--fixed={scan}", f"--output_dir={folder}")
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == (f"Error: {server.url} answered 400: moving: the gzip archive is cut short.")
    assert "Traceback" not in answer.err and list(folder.iterdir()) == []


def test_a_server_that_breaks_off_leaves_what_was_there(command, stub_server, nifti, tmp_path):
    status, _, body = GOOD
    server = stub_server((status, {"Content-Length": len(body) + 1, "Connection": "close"}, body))
    scan, folder = nifti("a.nii"), tmp_path / "out"
    folder.mkdir()
    (folder / "moved.nii.gz").write_bytes(b"before")
    files = f"--moving={scan}", f"--fixed={scan}", f"--output_dir={folder}"
    answer = command(f"--url={server.url}", "--retries=0", *files)
    assert answer.code == 1 and "the answer was cut" in answer.err
    assert [file.read_bytes() for file in folder.iterdir()] == [b"before"]


def test_a_disk_that_is_full_leaves_what_was_there(command, stub_server, nifti, tmp_path, monkeypatch):
    def write_half(path, content):
        Path(path).write_bytes(content[:2])
        raise OSError("No space left on device")

    monkeypatch.setattr(register_through_server, "_write_gzip", write_half)
    server, scan, folder = stub_server(GOOD), nifti("a.nii"), tmp_path / "out"
    folder.mkdir()
    (folder / "moved.nii.gz").write_bytes(b"before")
    answer = command(f"--url={server.url}", f"--moving={scan}", f"--fixed={scan}", f"--output_dir={folder}")
    assert answer.code == 1 and "moved.nii.gz: cannot be written (No space left on device)" in answer.err
    assert [file.read_bytes() for file in folder.iterdir()] == [b"before"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--moving=a.nii"], "--fixed, --output_dir must be given"),
        (["--moving=gone.nii", "--fixed=gone.nii", "--output_dir=out"], "gone.nii: there is no such file."),
        (["--moving=text.txt", "--fixed=text.txt", "--output_dir=out"], "text.txt: cannot be read as a scan"),
        (["--moving=moved.nii.gz", "--fixed=a.nii", "--output_dir=."], "moved and --moving are one file"),
        (["--moving=a.nii", "--fixed=a.nii", "--output_dir=text.txt"], "text.txt: cannot be written"),
        (["--moving=a.nii", "--fixed=a.nii", "--output_dir=out", "--url=nowhere"], "give one such as http"),
        (["--moving=a.nii", "--fixed=a.nii", "--output_dir=out", "--version=1", "--label=x"], "a label, not both"),
        (["--moving=a.nii", "--fixed=a.nii", "--output_dir=out", "--grpc", "--url=http://h"], "gRPC takes host:port"),
    ],
)
def test_bad_input_is_one_sentence(command, nifti, tmp_path, monkeypatch, arguments, message):
    nifti("a.nii")
    (tmp_path / "text.txt").write_text("no scan")
    monkeypatch.chdir(tmp_path)
    answer = command(*arguments)
    assert answer.code == 1 and message in answer.err and "Traceback" not in answer.err


def test_by_grpc(command, nifti, tmp_path, monkeypatch):
    made = []

    class Fake:
        def __init__(self, address, **settings):
            made.append((address, settings))

        def register_nifti(self, moving, fixed):
            return Client.register_nifti(self, moving, fixed)

        def predict(self, signature, inputs):
            return {"moved_bytes": NIFTI, "transform_bytes": NIFTI}

    module = pytest.importorskip("vxm_tf.serving.client.grpc_client")
    monkeypatch.setattr(module, "GrpcClient", Fake)
    scan, folder = nifti("a.nii"), tmp_path / "out"
    answer = command("--grpc", f"--moving={scan}", f"--fixed={scan}", f"--output_dir={folder}", "--retries=1")
    assert answer.code == 0, answer.err
    settings = {"model": "vxm", "version": None, "label": None, "timeout_seconds": 300.0, "retries": 1}
    assert made == [("127.0.0.1:8500", settings)]
    assert gzip.decompress((folder / "moved.nii.gz").read_bytes()) == NIFTI


def test_progress_is_a_few_lines(monkeypatch):
    lines = []
    monkeypatch.setattr(register_through_server.logging, "info", lambda text, *values: lines.append(text % values))
    progress = ProgressLog()
    for done in range(0, 100_000_001, 1_000_000):
        progress("sent", done, 100_000_000)
    for done in (1_000_000, 2_000_000):
        progress("received", done, None)
    assert lines[0] == "Sent 0.0 of 100.0 MB." and lines[-2] == "Waiting for the registration."
    assert lines[-1] == "Received 1.0 MB." and len(lines) == 7


COMMAND = """
    from vxm_tf.cli.client import main
    main()
"""


def test_it_runs_where_tensorflow_and_keras_are_absent(stub_server, write_nibabel, tmp_path, run_without_tensorflow):
    scan, server = write_nibabel("scan.mgz", np.ones((4, 5, 6), "float32")), stub_server(GOOD)
    files = f"--moving={scan}", f"--fixed={scan}", f"--output_dir={tmp_path / 'out'}"
    run_without_tensorflow(COMMAND, f"--url={server.url}", *files)
    assert (tmp_path / "out" / "moved.nii.gz").is_file()
