"""The client of a served model, against a server that answers well, badly, late or not at all."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import httpcore
import numpy as np
import pytest
import tensorflow as tf

from vxm_tf.serving.client import Client, ServingError, retries
from vxm_tf.serving.client.encoding import as_sent
from vxm_tf.serving.client.errors import plain
from vxm_tf.serving.client.http_exchange import Address
from vxm_tf.serving.client.json_bytes import PIECE_BYTES, JsonBody, read_json
from vxm_tf.serving.graph import volume_bytes
from vxm_tf.serving.signatures import signatures

NIFTI = b"\x5c\x01\0\0" + bytes(range(256)) * 3
FILES = {"moved_bytes": NIFTI + b"moved", "transform_bytes": NIFTI + b"transform"}


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def json_answer(value, status=200, **headers):
    """As TensorFlow Serving writes it: pretty-printed."""
    return status, headers, json.dumps(value, indent=4).encode()


GOOD = json_answer({"outputs": {name: b64(content) for name, content in FILES.items()}})


def refused(status, sentence="Busy.", **headers):
    return json_answer({"error": sentence}, status, **headers)


@pytest.fixture
def sleeps(monkeypatch):
    """How long the client would have slept; it does not."""
    seconds = []
    monkeypatch.setattr(retries, "time", types.SimpleNamespace(sleep=seconds.append, time=time.time))
    return seconds


def test_two_files_go_and_two_come_back(stub_server):
    server = stub_server(GOOD)
    answer = Client(server.url).register_nifti(b"moving\0\xff", b"fixed")
    assert (answer.moved, answer.transform) == tuple(FILES.values())
    ((method, path, headers, body),) = server.requests
    assert (method, path, headers["Content-Type"]) == ("POST", "/v1/models/vxm:predict", "application/json")
    inputs = {"moving": b64(b"moving\0\xff"), "fixed": b64(b"fixed")}
    assert json.loads(body) == {"signature_name": "register_nifti", "inputs": inputs}


@pytest.mark.parametrize(
    "settings, path",
    [
        ({"model": "my brain"}, "/v1/models/my%20brain:predict"),
        ({"version": 3}, "/v1/models/vxm/versions/3:predict"),
        ({"label": "stable"}, "/v1/models/vxm/labels/stable:predict"),
    ],
)
def test_model_version_and_label_are_in_the_path(stub_server, settings, path):
    server = stub_server(GOOD)
    Client(server.url, **settings).register_nifti(b"m", b"f")
    assert server.requests[0][1] == path


def test_a_path_before_every_path_is_kept(stub_server):
    server = stub_server(GOOD)
    Client(server.url + "/behind/proxy/").register_nifti(b"m", b"f")
    assert server.requests[0][1] == "/behind/proxy/v1/models/vxm:predict"


@pytest.mark.parametrize("size", [0, 1, 2, 3, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES + 1])
def test_a_body_is_json_of_the_length_it_tells(rng, size):
    content = rng.bytes(size)
    body = JsonBody({"a": [1, "x"], "b": content, "c": {}, "ü": {"d": content}})
    text = b"".join(body)
    assert len(body) == len(text)
    assert read_json(text) == {"a": [1, "x"], "b": content, "c": {}, "ü": {"d": content}}
    assert b"".join(body) == text


def test_json_is_read_as_json_reads_it():
    text = (
        b'{"outputs": {"n": NaN, "b64": 3, "s": "\\"b64\\":\\"YWJj\\"", "t": {"b64": "YW\\/j"}, '
        b'"u": [{"b64": "YWJj"}]}}'
    )
    outputs = read_json(text)["outputs"]
    assert np.isnan(outputs.pop("n"))
    assert outputs == {"b64": 3, "s": '"b64":"YWJj"', "t": b"ao\xe3", "u": [b"abc"]}


def displacement_of(shape, rng):
    return rng.uniform(-200, 200, (*shape, len(shape))).astype("float32")


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_volumes_go_and_come_as_the_graph_has_them(stub_server, rng, shape, kind):
    moving, fixed = ((rng.random(shape) * 250).astype(kind) for _ in range(2))
    displacement, moved = displacement_of(shape, rng), rng.uniform(-50, 900, shape).astype("float32")
    moved_bytes, moved_range = volume_bytes.encode_image(tf.constant(moved))
    components = volume_bytes.encode_displacement(tf.constant(displacement)).numpy()
    outputs = {
        "moved_bytes": b64(moved_bytes.numpy()),
        "moved_range": moved_range.numpy().tolist(),
        "displacement_bytes": [b64(component) for component in components],
        "shape": list(shape),
    }
    server = stub_server(json_answer({"outputs": outputs}))
    answer = Client(server.url).register(moving, fixed)

    assert answer.displacement.dtype == answer.moved.dtype == "float32"
    assert np.abs(answer.displacement - displacement).max() < 0.01
    assert np.abs(answer.moved - moved).max() < 950 / 65535
    sent = server.bodies[0]["inputs"]
    for name, volume in (("moving", moving), ("fixed", fixed)):
        content = base64.b64decode(sent[name]["b64"])
        sizes = tf.constant(sent[f"{name}_shape"], "int32")
        received = volume_bytes.decode(content, sizes, sent[f"{name}_dtype"], len(shape), name)
        np.testing.assert_array_equal(received, volume)
        assert sent[f"{name}_dtype"] == kind


@pytest.mark.parametrize(
    "values, kind",
    [
        (np.array([[0, 255]], "int64"), "uint8"),
        (np.array([[0, 256]], "int32"), "uint16"),
        (np.array([[0, 65536]], "uint32"), "float32"),
        (np.array([[-1024, 3071]], "int16"), "float32"),
        (np.array([[True, False]]), "uint8"),
        (np.array([[1, 2]], ">u2"), "uint16"),
        (np.array([[0.5, 2]], ">f4"), "float32"),
        (np.array([[0.5, 2]], "float16"), "float32"),
        (np.asfortranarray(np.arange(6.0).reshape(2, 3)), "float32"),
    ],
)
def test_values_are_kept_in_the_smallest_type(values, kind):
    sent = as_sent(values, "moving")
    assert sent.dtype == kind and sent.flags.c_contiguous
    assert sent.tobytes() == values.astype(np.dtype(kind).newbyteorder("<")).tobytes()
    np.testing.assert_array_equal(sent, values)


@pytest.mark.parametrize(
    "moving, fixed, message",
    [
        (np.zeros(3), np.zeros(3), r"moving: expected voxels along 2 or 3 axes.*shape \(3,\)"),
        (np.zeros((1, 2, 3, 4)), np.zeros((2, 3)), "without axes for batch or channels"),
        (np.zeros((0, 3)), np.zeros((0, 3)), r"shape \(0, 3\)"),
        (np.zeros((2, 3)), np.zeros((3, 2)), r"their shapes are equal; got \(2, 3\) and \(3, 2\)"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), "fixed: holds values that are NaN"),
        (np.full((2, 3), 1e300), np.zeros((2, 3)), "moving: holds values that are NaN, infinite or too large"),
        (np.zeros((2, 3), complex), np.zeros((2, 3)), "of type complex128; numbers are needed"),
        (np.array([[-(2**24) - 1, 0]]), np.zeros((1, 2)), "beyond 16777216 float32 is not exact"),
    ],
)
def test_arrays_that_cannot_be_registered_are_not_sent(stub_server, moving, fixed, message):
    server = stub_server(GOOD)
    with pytest.raises(ValueError, match=message):
        Client(server.url).register(moving, fixed)
    assert server.requests == []


def test_the_sentence_of_the_server_is_shown(stub_server):
    text = "assertion failed: [moving: holds 3 sizes; got] [1 2]\n\t [[{{function_node __inference_1}}{{node Assert}}]]"
    server = stub_server(refused(400, text))
    with pytest.raises(ServingError) as caught:
        Client(server.url).register_nifti(b"m", b"f")
    assert str(caught.value) == f"{server.url} answered 400: moving: holds 3 sizes; got 1 2."
    assert caught.value.status == 400


def test_a_long_sentence_is_cut():
    assert len(plain("word " * 1000)) < 600


@pytest.mark.parametrize("status, advice", [(401, "VXM_TOKEN"), (404, "model's name"), (413, "client_max_body_size")])
def test_a_page_of_a_proxy_becomes_its_reason_and_what_to_do(stub_server, status, advice):
    server = stub_server((status, {"Content-Type": "text/html"}, b"<html>nginx</html>"))
    with pytest.raises(ServingError, match=f"answered {status}: .*{advice}") as caught:
        Client(server.url).register_nifti(b"m", b"f")
    assert "html" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_tried_again(stub_server, sleeps, status):
    server = stub_server(refused(status), refused(status), GOOD)
    with pytest.warns(UserWarning, match=f"answered {status}: Busy.*Retry [12] of 5"):
        answer = Client(server.url).register_nifti(b"moving", b"fixed")
    assert answer.moved == FILES["moved_bytes"]
    assert 0.25 <= sleeps[0] <= 0.5 <= sleeps[1] <= 1.0
    assert server.bodies[0] == server.bodies[2]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500])
def test_what_does_not_pass_is_asked_once(stub_server, sleeps, status):
    server = stub_server(refused(status))
    with pytest.raises(ServingError) as caught:
        Client(server.url).register_nifti(b"m", b"f")
    assert (caught.value.status, len(server.requests), sleeps) == (status, 1, [])


@pytest.mark.filterwarnings("ignore:.*Retry")
def test_the_server_says_how_long_to_wait(stub_server, sleeps):
    server = stub_server(refused(503, **{"Retry-After": 7}), GOOD)
    Client(server.url).register_nifti(b"m", b"f")
    assert 7 <= sleeps[0] < 8


@pytest.mark.parametrize("header", ["", "soon", "-3", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", None])
def test_a_wish_that_is_none_is_no_reason_to_hurry_or_to_wait(header):
    assert 0.25 <= retries.delay_seconds(1, header) <= 0.5


def test_delays_are_bounded():
    assert retries.delay_seconds(1000) <= 60
    assert retries.delay_seconds(1, "1e9") <= 121


@pytest.mark.filterwarnings("ignore:.*Retry")
def test_it_gives_up_in_the_end(stub_server, sleeps):
    server = stub_server(refused(503, "Loading."))
    with pytest.raises(ServingError, match="answered 503: Loading. The server is busy") as caught:
        Client(server.url, retries=2).register_nifti(b"m", b"f")
    assert (caught.value.status, len(server.requests), len(sleeps)) == (503, 3, 2)


@pytest.mark.filterwarnings("ignore:.*Retry")
def test_nobody_listens(stub_server, sleeps):
    server = stub_server(GOOD)
    server.shutdown()
    server.server_close()
    with pytest.raises(ServingError, match="cannot be reached after 3 attempts: nobody listens there") as caught:
        Client(server.url, retries=2).register_nifti(b"m", b"f")
    assert caught.value.status is None and len(sleeps) == 2


def test_a_silent_server_is_asked_once(stub_server, sleeps):
    server = stub_server(lambda handler: handler.server.done.wait(20))
    with pytest.raises(ServingError, match="127.0.0.1 was silent for 0.2 s.*raise timeout_seconds"):
        Client(server.url, timeout_seconds=0.2).register_nifti(b"m", b"f")
    assert len(server.requests) == 1 and sleeps == []


CUT = {
    "with a length": (200, {"Content-Length": len(GOOD[2]) + 9, "Connection": "close"}, GOOD[2]),
    "in chunks": (200, {"Transfer-Encoding": "chunked", "Connection": "close"}, b"5\r\n{'out"),
}


@pytest.mark.parametrize("how", CUT)
def test_a_cut_answer_is_no_answer(stub_server, sleeps, how):
    server = stub_server(CUT[how])
    with pytest.raises(ServingError, match="cannot be reached: the answer was cut"):
        Client(server.url, retries=0).register_nifti(b"m", b"f")


@pytest.mark.filterwarnings("ignore:.*Retry")
def test_a_broken_connection_is_tried_again(stub_server, sleeps):
    def hang_up(handler):
        handler.close_connection = True

    server = stub_server(hang_up, CUT["with a length"], GOOD)
    assert Client(server.url).register_nifti(b"m", b"f").moved == FILES["moved_bytes"]
    assert len(server.requests) == 3


def test_a_refusal_before_all_is_sent_is_heard(stub_server):
    server = stub_server(refused(413, "Too large."))

    def break_off(stage, done, total):
        if stage == "sent" and done == total:
            raise httpcore.WriteError("Broken pipe")

    with pytest.raises(ServingError, match="answered 413: Too large. A proxy limits"):
        Client(server.url, retries=0, progress=break_off).register_nifti(b"m", b"f")


def test_without_httpx_the_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ValueError, match=r"pip install 'vxm-tf\[client\]'"):
        Client("http://127.0.0.1:8501")


def test_a_proxy_of_the_environment_is_not_asked(stub_server, monkeypatch):
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Client(stub_server(GOOD).url, retries=0).register_nifti(b"m", b"f").moved == FILES["moved_bytes"]


NOT_AN_ANSWER = {
    "text": (b"It works!", "no JSON object with outputs; it begins with 'It works!'"),
    "another JSON": (b'{"predictions": [1]}', "no JSON object with outputs"),
    "a list": (b"[1, 2]", "no JSON object with outputs"),
    "a broken base64": (b'{"outputs": {"moved_bytes": {"b64": "YWJ"}}}', "no JSON object with outputs"),
    "a missing output": (b'{"outputs": {"moved_bytes": 1}}', "lacks transform_bytes; it holds moved_bytes"),
    "a single output": (b'{"outputs": [1, 2]}', "lacks moved_bytes, transform_bytes; it holds no named outputs"),
    "no file": (b'{"outputs": {"moved_bytes": {"b64": "YWJj"}, "transform_bytes": 1}}', "moved_bytes is no NIfTI file"),
}


@pytest.mark.parametrize("what", NOT_AN_ANSWER)
def test_an_answer_that_is_none(stub_server, what):
    body, message = NOT_AN_ANSWER[what]
    server = stub_server((200, {}, body))
    with pytest.raises(ServingError, match=message):
        Client(server.url).register_nifti(b"m", b"f")


def png(shape, dtype="uint16"):
    return b64(tf.io.encode_png(np.zeros((*shape, 1), dtype)).numpy())


GOOD_ARRAYS = {
    "moved_bytes": png((2, 3)),
    "moved_range": [0, 1],
    "displacement_bytes": [png((2, 3))] * 2,
    "shape": [2, 3],
}
BAD_ARRAYS = {
    "shape": ([3, 2], r"of shape \[3, 2\]; that of fixed is \[2, 3\]"),
    "moved_range": (["low"], "moved_range is no pair of numbers"),
    "moved_bytes": (png((3, 2)), "moved_bytes is a PNG of"),
    "displacement_bytes": ([png((2, 3))], "1 components; 2 axes need 2"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_that_do_not_fit(stub_server, name):
    value, message = BAD_ARRAYS[name]
    server = stub_server(json_answer({"outputs": {**GOOD_ARRAYS, name: value}}))
    with pytest.raises(ServingError, match=message):
        Client(server.url).register(np.ones((2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize(
    "picture, message",
    [
        (png((2, 3), "uint8"), "16-bit gray"),
        (b64(b"GIF89a"), "is no whole PNG"),
        (b64(base64.b64decode(png((2, 3))["b64"])[:44]), "is no whole PNG"),
        ("text", "holds no bytes"),
    ],
)
def test_a_picture_that_is_none(stub_server, picture, message):
    server = stub_server(json_answer({"outputs": {**GOOD_ARRAYS, "moved_bytes": picture}}))
    with pytest.raises(ServingError, match=message):
        Client(server.url).register(np.ones((2, 3)), np.ones((2, 3)))


def test_progress_is_told_in_bytes(stub_server, rng):
    server, calls = stub_server(GOOD), []
    Client(server.url, progress=lambda *call: calls.append(call)).register_nifti(rng.bytes(PIECE_BYTES * 2), b"f")
    sent = [call for call in calls if call[0] == "sent"]
    total = len(server.requests[0][3])
    assert [call[1] for call in sent] == sorted(call[1] for call in sent) and len(sent) > 3
    assert sent[-1] == ("sent", total, total)
    assert calls[-1] == ("received", len(GOOD[2]), len(GOOD[2]))


def test_a_signature_with_one_output_gives_its_value(stub_server):
    server = stub_server((200, {}, b'{\n    "outputs": [\n        3.0,\n        6.0\n    ]\n}'))
    assert Client(server.url).predict("serving_default", {"x": [1.0, 2.0]}) == [3.0, 6.0]
    assert server.bodies == [{"signature_name": "serving_default", "inputs": {"x": [1.0, 2.0]}}]


def versions(*states):
    return json_answer({"model_version_status": [{"version": "1", "state": state} for state in states]})


@pytest.mark.parametrize(
    "answer, available",
    [
        (versions("AVAILABLE"), True),
        (versions("END", "AVAILABLE"), True),
        (versions("LOADING"), False),
        (versions("UNAVAILABLE"), False),
        (refused(404), False),
        (refused(503), False),
        ((200, {}, b"It works!"), False),
        (CUT["with a length"], False),
    ],
)
def test_a_model_is_available_once_it_is_loaded(stub_server, answer, available):
    server = stub_server(answer)
    assert Client(server.url).is_available() is available
    assert server.requests[0][:2] == ("GET", "/v1/models/vxm")


def test_a_token_that_is_wanted_is_not_the_same_as_a_model_that_is_absent(stub_server):
    with pytest.raises(ServingError, match="VXM_TOKEN"):
        Client(stub_server(refused(401)).url).is_available()


def test_nothing_is_available_where_nobody_listens(stub_server):
    server = stub_server(GOOD)
    server.shutdown()
    server.server_close()
    assert Client(server.url).is_available() is False


def test_a_token_goes_to_this_machine_and_over_https_only(stub_server, monkeypatch):
    monkeypatch.setenv("VXM_TOKEN", "secret\n")
    server = stub_server(GOOD)
    Client(server.url).register_nifti(b"m", b"f")
    assert server.requests[0][2]["Authorization"] == "Bearer secret"
    assert Address.of("https://scans.example").headers() == {"Authorization": "Bearer secret"}
    assert Address.of("http://scans.example").headers() == {}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"url": "127.0.0.1:8501"}, "give one such as http://127.0.0.1:8501"),
        ({"url": "ftp://host"}, "'ftp://host' is no address"),
        ({"url": "http://"}, "is no address"),
        ({"url": "http://host:many"}, "is no address"),
        ({"url": "http://user:secret@host"}, "token in the environment"),
        ({"model": ""}, "name is empty"),
        ({"version": 1, "label": "stable"}, "a version or a label, not both"),
        ({"timeout_seconds": 0}, "timeout_seconds is positive; got 0"),
        ({"retries": -1}, "retries is 0 or more"),
    ],
)
def test_choices_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        Client(**{"url": "http://127.0.0.1:8501", **settings})
    assert "secret" not in str(caught.value)


CALL = """
    from vxm_tf.serving.client import Client
    answer = Client(sys.argv[1]).register_nifti(b"moving", b"fixed")
    print(answer.moved[-5:].decode())
"""
ASK = """
    import vxm_tf
    for call in (lambda: vxm_tf.layers, lambda: vxm_tf.nonsense):
        try:
            call()
        except (ImportError, AttributeError) as error:
            print(type(error).__name__, error)
"""


def test_without_tensorflow_and_keras_it_works(stub_server, run_without_tensorflow):
    assert run_without_tensorflow(CALL, stub_server(GOOD).url) == "moved\n"


def test_without_tensorflow_and_keras_the_rest_says_what_is_missing(run_without_tensorflow):
    first, second = run_without_tensorflow(ASK).splitlines()
    assert first.startswith("ImportError vxm_tf.layers needs Keras and TensorFlow, and neither is installed here.")
    assert second == "AttributeError module 'vxm_tf' has no attribute 'nonsense'"


ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "how-to" / "serving-client.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("without_jq", [False, True])
def test_the_lines_for_a_shell_do_what_the_page_says(stub_server, tmp_path, without_jq):
    needed = ["bash", "curl", "base64", *([] if without_jq else ["jq"])]
    if missing := [name for name in needed if not shutil.which(name)]:
        pytest.skip(f"no {', '.join(missing)}")
    (tmp_path / "A.nii.gz").write_bytes(b"moving" * 99)
    (tmp_path / "B.nii.gz").write_bytes(b"fixed")
    server, (call, decode) = stub_server(GOOD), BLOCKS
    script = call[: call.index("for name")] + decode if without_jq else call
    environment = {**os.environ, "SERVER": server.url}
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert server.bodies == [
        {"signature_name": "register_nifti", "inputs": {"moving": b64(b"moving" * 99), "fixed": b64(b"fixed")}}
    ]
    assert (tmp_path / "moved.nii").read_bytes() == FILES["moved_bytes"]
    assert (tmp_path / "transform.nii").read_bytes() == FILES["transform_bytes"]


def test_a_network_registers_through_the_wire(stub_server, constant_network, rng):
    """The signature itself, behind the format of the wire."""
    served = signatures(constant_network((None,) * 3, (1.0, 0.0, -2.0)))

    def tensor(value):
        return tf.constant(base64.b64decode(value["b64"]) if isinstance(value, dict) else value)

    def answer(handler):
        request = handler.server.bodies[-1]
        outputs = served[request["signature_name"]](**{k: tensor(v) for k, v in request["inputs"].items()})
        as_json = {}
        for name, value in outputs.items():
            value = value.numpy()
            if name.endswith("_bytes"):
                as_json[name] = b64(value) if isinstance(value, bytes) else [b64(entry) for entry in value]
            else:
                as_json[name] = value.tolist()
        handler.answer(*json_answer({"outputs": as_json}))

    client = Client(stub_server(answer).url)
    moving, fixed = (rng.integers(0, 900, (9, 10, 11)).astype("uint16") for _ in range(2))
    arrays = client.register(moving, fixed)
    assert np.abs(arrays.displacement - np.float32([1, 0, -2])).max() < 0.01
    np.testing.assert_allclose(arrays.moved[:-1, :, 2:], moving[1:, :, :-2], atol=0.02)
