"""Recorded requests to TensorFlow Serving, asked of the server over real HTTP."""

import base64
import json
import runpy
import sys
from pathlib import Path

import pytest

from vxm_tf.serving.rest import Limits, Model, Policy, RestServer

SHARED = Path(__file__).resolve().parents[4] / "shared"
GOLDEN = SHARED / "data" / "tf-serving-rest-golden.jsonl"
PROBE = SHARED / "tools" / "serving_probe_model.py"
# Their text differs on purpose: our own counters only; no name of a graph's node after an assertion, nor in place of
# a signature.
DIFFERENT = {"metrics", "fail_assert", "classify"}

pytestmark = pytest.mark.skipif(
    not (GOLDEN.is_file() and PROBE.is_file()), reason=f"the recordings are absent: no file {GOLDEN}"
)


def recordings():
    lines = GOLDEN.read_text().splitlines() if GOLDEN.is_file() else []
    return [json.loads(line) for line in lines]


def as_bytes(text):
    if text is None:
        return None
    return base64.b64decode(text[4:]) if text.startswith("b64:") else text.encode()


def in_any_order(body):
    """Lines of a text without the commas between them: the order of names is arbitrary in TensorFlow Serving."""
    return sorted(line.rstrip(b",") for line in body.split(b"\n"))


def tokens(body):
    """The JSON value with every number as its text."""
    kinds = dict.fromkeys(("parse_float", "parse_int", "parse_constant"), str)
    return json.loads(body.decode("utf-8", "surrogateescape"), **kinds)


def same_text(ours, theirs):
    """Byte for byte, up to the order of names."""
    if ours == theirs:
        return True
    return in_any_order(ours) == in_any_order(theirs) and tokens(ours) == tokens(theirs)


@pytest.fixture(scope="module")
def answers(tmp_path_factory, connect):
    """name -> (recording, status, body, headers) of our server."""
    folder = tmp_path_factory.mktemp("probe")
    arguments, sys.argv = sys.argv, ["probe", str(folder)]
    try:
        runpy.run_path(str(PROBE))
    finally:
        sys.argv = arguments
    model = Model("probe", folder, Policy.parse("all"), {"stable": 1})
    with RestServer([model], port=0, limits=Limits()) as server:
        client = connect(server.port)
        return {
            record["name"]: (
                record,
                *client.ask(record["method"], record["path"], as_bytes(record["request"]), record["request_headers"]),
            )
            for record in recordings()
        }


def test_all_recordings_are_asked(answers):
    assert len(answers) == len(recordings()) == 82


def test_every_status_is_the_recorded_one(answers):
    different = {name: (status, record["status"]) for name, (record, status, *_) in answers.items()}
    assert {name: pair for name, pair in different.items() if pair[0] != pair[1]} == {}


def test_the_text_is_the_recorded_one_but_for_three(answers):
    different = {
        name for name, (record, _, body, _) in answers.items() if not same_text(body, as_bytes(record["body"]))
    }
    assert different == DIFFERENT


def test_the_headers_are_the_recorded_ones(answers):
    for name, (record, _, _, headers) in answers.items():
        expected = dict(record["headers"])
        if name in DIFFERENT:
            expected.pop("content-length")
        assert {key: headers.get(key) for key in expected} == expected, name


def test_an_assertion_of_the_graph_is_told_without_the_names_of_its_nodes(answers):
    record, _, body, _ = answers["fail_assert"]
    ours, theirs = json.loads(body)["error"], json.loads(record["body"])["error"]
    assert theirs.startswith(ours) and ours.startswith("assertion failed: [x too large]")
    assert "node" in theirs and "node" not in ours


def test_the_page_for_prometheus_has_their_names(answers):
    record, _, body, _ = answers["metrics"]
    name = ':tensorflow:serving:request_latency_bucket{model_name="probe",API="",entrypoint="REST",le='

    def edges(text):
        return [line.split("le=")[1].split("}")[0] for line in text.splitlines() if line.startswith(name)]

    assert edges(body.decode()) == edges(record["body"])
    assert b':tensorflow:serving:request_count{model_name="probe",status="OK"}' in body
