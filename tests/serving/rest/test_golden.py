"""Recorded requests to TensorFlow Serving, asked of the server over real HTTP."""

import base64
import json
import runpy
from pathlib import Path

import pytest

from vxm_tf.serving.rest import Limits, Model, Policy, RestServer

HERE = Path(__file__).resolve().parent
RECORDINGS = [json.loads(line) for line in (HERE / "tf-serving-rest-golden.jsonl").read_text().splitlines()]
# Answers that differ on purpose, and why.
DIFFERENT = {
    "metrics": "our own counters only",
    "fail_assert": "no names of the graph's nodes after the message of an assertion",
    "classify": "names of the inputs in place of the whole definition, which has names of the graph's nodes",
}


def as_bytes(text):
    if text is None:
        return None
    return base64.b64decode(text[4:]) if text.startswith("b64:") else text.encode()


def value_of(body):
    """The JSON value of a body, or its text where it is no JSON; NaN equals NaN, and 1 differs from 1.0 and true."""
    text = body.decode("utf-8", "surrogateescape")
    numbers = {kind: lambda digits, kind=kind: (kind, repr(float(digits))) for kind in ("float", "constant")}
    kinds = {f"parse_{kind}": convert for kind, convert in numbers.items()}
    try:
        return json.loads(text, parse_int=lambda digits: ("int", int(digits)), **kinds)
    except json.JSONDecodeError:
        return text


@pytest.fixture(scope="module")
def answers(tmp_path_factory, connect):
    """name -> (recording, status, body, headers) of our server."""
    folder = tmp_path_factory.mktemp("probe")
    runpy.run_path(str(HERE / "serving_probe_model.py"))["main"](folder)
    model = Model("probe", folder, Policy.parse("all"), {"stable": 1})
    with RestServer([model], port=0, limits=Limits()) as server:
        client = connect(server.port)
        return {
            record["name"]: (
                record,
                *client.ask(record["method"], record["path"], as_bytes(record["request"]), record["request_headers"]),
            )
            for record in RECORDINGS
        }


def test_all_recordings_are_asked(answers):
    assert len(answers) == len(RECORDINGS) == 82


def test_every_status_is_the_recorded_one(answers):
    different = {name: (status, record["status"]) for name, (record, status, *_) in answers.items()}
    assert {name: pair for name, pair in different.items() if pair[0] != pair[1]} == {}


def test_the_values_are_the_recorded_ones_but_for_three(answers):
    different = {
        name for name, (record, _, body, _) in answers.items() if value_of(body) != value_of(as_bytes(record["body"]))
    }
    print(f"{len(answers) - len(different)} of {len(answers)} bodies equal the recorded ones as values; not", different)
    assert different == set(DIFFERENT)


def test_the_headers_are_the_recorded_ones(answers):
    for name, (record, _, body, headers) in answers.items():
        # The layout of JSON may differ, and so may its length.
        expected = {**record["headers"], "content-length": str(len(body))}
        assert {key: headers.get(key) for key in expected} == expected, name


def test_an_assertion_of_the_graph_is_told_without_the_names_of_its_nodes(answers):
    record, _, body, _ = answers["fail_assert"]
    ours, theirs = json.loads(body)["error"], json.loads(record["body"])["error"]
    assert theirs.startswith(ours) and ours.startswith("assertion failed: [x too large]")
    assert "node" in theirs and "node" not in ours


def test_the_page_for_prometheus_has_their_names(answers):
    record, _, body, _ = answers["metrics"]

    def edges(text):
        lines = [line for line in text.splitlines() if line.startswith(":tensorflow:serving:request_latency_bucket{")]
        return [float(line.split('le="')[1].split('"')[0]) for line in lines if 'model_name="probe"' in line]

    assert edges(body.decode()) == edges(record["body"])
    assert b':tensorflow:serving:request_count{model_name="probe",status="OK"}' in body
