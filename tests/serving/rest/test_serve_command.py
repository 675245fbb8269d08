"""The command: what it says when it cannot start, and how it ends."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from absl import logging as absl_logging

from vxm_tf import serving
from vxm_tf.cli import serve as command
from vxm_tf.serving.rest import Limits, Policy

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def refused(capsys):
    """refused(arguments) -> the one sentence that the command ends with; what it changes about logging is undone."""
    handler, root = absl_logging.get_absl_handler(), logging.getLogger()
    before = absl_logging.get_verbosity(), list(handler.filters), handler.formatter, list(root.handlers)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            command.main(list(arguments))
        assert caught.value.code == 1
        return capsys.readouterr().err.strip().splitlines()[-1]

    yield run
    absl_logging.set_verbosity(before[0])
    handler.filters[:], handler.formatter, root.handlers[:] = before[1], before[2], before[3]


def test_a_folder_that_is_not_there(refused, tmp_path):
    assert "gone: no such folder" in refused(f"--model_base_path={tmp_path / 'gone'}")
    assert refused() == "Error: --model_base_path must be given. See --help."


def test_a_folder_without_a_version(refused, tmp_path):
    (tmp_path / "1").mkdir()
    assert "no version in this folder" in refused(f"--model_base_path={tmp_path}")


def test_a_version_that_does_not_load(refused, base):
    folder = base(1)
    (folder / "2").mkdir()
    (folder / "2" / "saved_model.pb").write_bytes(b"no model")
    assert "2: not a SavedModel that loads" in refused(f"--model_base_path={folder}")


def test_a_port_that_is_taken(refused, base):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused(f"--model_base_path={base()}", f"--port={port}")
    assert f"127.0.0.1:{port}: cannot listen there" in message


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--labels=stable"], "--labels has entries such as stable=1; got 'stable'."),
        (["--labels=a=1,a=2"], "--labels names a twice; a label stands for one version."),
        (["--labels=a=7"], "no version 7 in this folder; it holds 1."),
        (["--versions=1,4"], "no version 4 in this folder; it holds 1."),
        (["--versions=newest"], "Versions are all, latest or numbers with commas between, such as 1,2; got 'newest'."),
        (["--workers=0"], "workers must be at least 1; got 0."),
        (["--answer_seconds=0"], "answer_seconds must be more than 0; got 0.0."),
        (["--poll_seconds=0"], "--poll_seconds must be more than 0; got 0.0."),
        (["--port=70000"], "A port is a number from 0 to 65535; got 70000."),
        (["--model_name=a/b"], "--model_name is part of an address: no slash, colon or quote; got 'a/b'."),
    ],
)
def test_flags_that_make_no_sense(refused, base, flags, message):
    assert refused(f"--model_base_path={base()}", *flags).endswith(message)


def test_without_uvicorn_the_command_says_what_to_install(refused, base, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 'pip install "vxm-tf[serve]"' in refused(f"--model_base_path={base()}")


@pytest.mark.parametrize("package", ["starlette", "rapidjson", "prometheus_client"])
def test_without_a_package_of_the_extra_the_command_says_what_to_install(refused, base, monkeypatch, package):
    for name in [name for name in sys.modules if name.startswith("vxm_tf.serving.rest") or name.startswith(package)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(serving, "rest")
    monkeypatch.setitem(sys.modules, package, None)
    assert 'pip install "vxm-tf[serve]"' in refused(f"--model_base_path={base()}")


def test_settings_have_the_defaults_of_the_library():
    config, limits = command.ServeConfig(), Limits()
    assert all(getattr(config, name) == value for name, value in vars(limits).items())
    assert Policy.parse(",".join(config.versions)) == Policy()


def asked_until_admitted(client, gate):
    """The answer to a request that runs until the gate is opened."""
    answer = (503,)
    while answer[0] == 503:
        answer = client.predict({"signature_name": "wait", "inputs": str(gate)})
    return answer


def is_closed(port):
    """Whether nobody listens at a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_after_the_requests_that_run(base, connect, tmp_path, number, eventually):
    gate = tmp_path / "gate"
    gate.touch()
    arguments = [f"--model_base_path={base()}", "--port=0", "--labels=stable=1", "--queue=0"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "export" / "serve_local.py"), *arguments],
        stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    try:
        log = iter(process.stderr.readline, "")
        address = next(filter(None, (re.search(r"Serving at http://127.0.0.1:(\d+)/v1", line) for line in log)))
        client, answers = connect(int(address[1])), []
        thread = threading.Thread(target=lambda: answers.append(asked_until_admitted(client, gate)))
        thread.start()
        # The only place is taken: the request is with the server.
        eventually(lambda: client.predict({"inputs": [1.0]})[0] == 503)
        process.send_signal(number)
        next(line for line in log if "Finishing the requests that run" in line)
        eventually(lambda: is_closed(client.port))
        # Long enough for a server that does not wait to drop the request.
        time.sleep(0.5)
        gate.write_text("open")
        thread.join(60)
        assert process.wait(60) == 0
        assert answers[0][0] == 200 and json.loads(answers[0][1]) == {"outputs": 1.0}
    finally:
        process.kill()
        process.stderr.close()
