"""Requests that are wrong in every way get a sentence, never a traceback, and the next request is served."""

import http.client
import json

import pytest
import tensorflow as tf

from vxm_tf.serving.rest import Model, RestServer, prediction
from vxm_tf.serving.rest.errors import graph_message
from vxm_tf.serving.rest.prediction import TOO_DEEP

TOO_BIG = "JSON Parse error: Number too big to be stored in double."
HOSTILE = {
    "deep lists": (b"[" * 100_000, TOO_DEEP),
    "deep objects": (b'{"a":' * 100_000, TOO_DEEP),
    "deep input": (b'{"inputs": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}", None),
    "33 levels": (
        b'{"inputs": ' + b"[" * 33 + b"1" + b"]" * 33 + b"}",
        "Lists are nested 33 levels deep; at most 32 are served.",
    ),
    "no UTF-8": (b'{"inputs": ["\xff"]}', "JSON Parse error: Invalid encoding in string. at offset: 13"),
    "integer of 5000 digits": (b'{"inputs": [1' + b"0" * 5000 + b"]}", TOO_BIG),
    "integer of 400 digits": (b'{"inputs": [1' + b"0" * 400 + b"]}", TOO_BIG),
    "beyond float64": (b'{"inputs": [1e999]}', TOO_BIG),
    "beyond float32": (
        b'{"inputs": [1.0, -1e39]}',
        "Cannot convert JSON value: -1e+39 to float without loss of precision.",
    ),
    "a name twice": (
        b'{"inputs": [1.0], "inputs": [2.0]}',
        'JSON Parse error: The name "inputs" occurs twice in one object.',
    ),
    "NaN as a name": (b"{NaN: 1}", "JSON Parse error: Missing a name for object member. at offset: 1"),
    "half a surrogate pair": (
        b'{"signature_name": "copy", "inputs": ["\\ud800"]}',
        "JSON Parse error: The surrogate pair in string is invalid.",
    ),
    "half a pair as a signature": (b'{"signature_name": "\\ud800", "inputs": [1]}', None),
    "more after the end": (
        b'{"inputs": [1.0]} {}',
        "JSON Parse error: The document root must not be followed by other values. at offset: 18",
    ),
    "white space": (b" \n ", "JSON Parse error: The document is empty"),
    "a zero byte": (b'{"inputs": "\0"}', "JSON Parse error: Invalid encoding in string. at offset: 12"),
    "null": (b"null", "JSON Value: null Is not object"),
    "a number for base64": (
        b'{"signature_name": "copy", "inputs": [{"b64": 1}]}',
        'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data',
    ),
    "base64 beyond ASCII": (b'{"signature_name": "copy", "inputs": [{"b64": "\xc3\xa4"}]}', "Unable to base64 decode"),
    "a list in a list of numbers": (
        b'{"inputs": [1.0, [2.0]]}',
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    "a number in a list of lists": (
        b'{"inputs": [[1.0], 2.0]}',
        "JSON Value: 2.0 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    "a boolean among numbers": (
        b'{"inputs": [1.0, true]}',
        "JSON Value: true Type: True is not of expected type: float",
    ),
    "uneven rows": (
        b'{"signature_name": "echo", "instances": [[1.0], [1.0, 2.0]]}',
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting tensor size: 1 but got: 2",
    ),
    "rows of unlike shape": (
        b'{"signature_name": "echo", "instances": [[[1, 2]], [[1], [2]]]}',
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting shape [1,2] but got: [2,1]",
    ),
    "a row of another name": (
        b'{"instances": [{"z": 1}]}',
        "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: z",
    ),
    "a list among objects": (b'{"instances": [{"x": 1}, 2]}', "Expecting object but got list at item 1 of input list"),
    "an object among lists": (
        b'{"instances": [1, {"x": 1}]}',
        "Expecting value/list but got object at item 1 of input list",
    ),
    "a signature without inputs": (
        b'{"signature_name": "__saved_model_init_op", "inputs": []}',
        "Failed to get input map for signature: __saved_model_init_op",
    ),
    "refused by the graph": (
        b'{"inputs": [2000.0]}',
        "assertion failed: [x must be less than 1000] [Condition x < y did not hold element-wise:] [x (x:0) = ] "
        "[2000] [y (assert_less/y:0) = ] [1000]",
    ),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory, scalers, connect):
    folder = tmp_path_factory.mktemp("base")
    (folder / "1").symlink_to(scalers / "x1")
    with RestServer([Model("vxm", folder)], port=0) as server:
        yield connect(server.port)


@pytest.fixture
def predict(client):
    return client.predict


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_refused_in_one_sentence(predict, name):
    body, message = HOSTILE[name]
    status, answer, headers = predict(body)
    error = json.loads(answer)["error"]
    assert status == 400 and headers["content-type"] == "application/json"
    assert message is None or error == message
    assert "Traceback" not in error and ".py" not in error
    assert predict({"inputs": [1.0]})[0] == 200


def test_a_connection_serves_on_after_an_error(client):
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    statuses, sockets = [], set()
    for body in (b"{", b'{"inputs": [1.0]}', b'{"inputs": ["a"]}', b'{"inputs": [2.0]}'):
        connection.request("POST", "/v1/models/vxm:predict", body)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        sockets.add(connection.sock)
    connection.close()
    assert statuses == [400, 200, 400, 200] and len(sockets) == 1 and None not in sockets


def test_a_long_value_is_not_sent_back_whole(predict):
    status, answer, _ = predict({"signature_name": 3, "inputs": [0.5] * 100_000})
    assert status == 400 and len(answer) < 3000


def test_an_infinite_number_may_be_said(predict):
    assert json.loads(predict(b'{"signature_name": "echo", "inputs": [-Infinity]}')[1]) == {"outputs": [-float("inf")]}


def test_a_fault_of_the_server_is_in_its_log_alone(predict, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("something private")

    monkeypatch.setattr(prediction, "write_response", fail)
    status, answer, _ = predict({"inputs": [1.0]})
    assert (status, json.loads(answer)) == (500, {"error": "Internal error."})
    assert "something private" in caplog.text


@pytest.mark.parametrize("error", [tf.errors.ResourceExhaustedError(None, None, "OOM at /x.py"), MemoryError("x.py")])
def test_too_little_memory_is_said_plainly(predict, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(prediction, "write_response", fail)
    status, answer, _ = predict({"inputs": [1.0]})
    assert status == 413 and ".py" not in answer.decode()


@pytest.mark.parametrize(
    "text, message",
    [
        ("Unequal shapes: [3] vs. [2]\n\t [[{{node add}}]] [Op:__inference_f_1]", "Unequal shapes: [3] vs. [2]"),
        (
            "Graph execution error:\n\nDetected at node A defined at (most recent call last):\n"
            '  File "/home/x.py", line 1, in f\n\nassertion failed: [a]\n\t [[{{node A}}]] [Op:__inference_f_1]',
            "assertion failed: [a]",
        ),
        (
            "Graph execution error:\n\nDetected at node A defined at (most recent call last):\n"
            "<stack traces unavailable>\n2 root error(s) found.\n  (0) INVALID_ARGUMENT:  assertion failed: [a]\n"
            "\t [[{{node A}}]]\n\t [[B/_1]]\n  (1) INVALID_ARGUMENT:  assertion failed: [b]\n\t [[{{node B}}]]\n"
            "0 successful operations.\n0 derived errors ignored. [Op:__inference_f_1]",
            "assertion failed: [a]",
        ),
    ],
)  # fmt: skip
def test_the_message_of_a_graph_is_cut_out_of_what_is_around_it(text, message):
    assert graph_message(text) == message


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("POST", "/v1/models/vxm/versions/99999999999999999999:predict", 400),
        ("GET", "/v1/models/vxm/versions/99999999999999999999", 400),
        ("GET", "/v1/models/%00%0a%22", 404),
        ("GET", "/v1/models/vxm/../../etc/passwd", 400),
        ("PATCH", "/v1/models/vxm", 400),
        ("HEAD", "/v1/models/vxm", 400),
        ("GET", "/V1/MODELS/vxm", 200),
        ("POST", "/v1/models/vxm:regress", 400),
        ("GET", "/v1/models/vxm/versions/9/metadata", 404),
        ("GET", "/v1/models/nope/metadata", 404),
    ],
)
def test_odd_addresses(client, method, path, status):
    answer = client.ask(method, path, b"{}" if method == "POST" else None)
    assert answer[0] == status
    assert method == "HEAD" or json.loads(answer[1])


def test_a_row_adds_an_axis_even_if_it_is_the_only_one(predict):
    assert json.loads(predict({"signature_name": "echo", "instances": [[1, 2]]})[1]) == {"predictions": [[1.0, 2.0]]}
    assert json.loads(predict({"signature_name": "echo", "instances": [5]})[1]) == {"predictions": [5.0]}
