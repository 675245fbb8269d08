"""What a server takes on, and what it refuses: in one sentence, and without harm to anybody else."""

import base64
import gzip
import json
import socket
import threading
import tracemalloc

import pytest

from vxm_tf.serving.rest.body import InflationGuard
from vxm_tf.serving.rest.errors import RequestError

MEGABYTE = 1 << 20
SMALL = {"instances": [1.5]}
HEAD = b"POST /v1/models/vxm:predict HTTP/1.1\r\nHost: x\r\n"


def inflate(data):
    return {"signature_name": "inflate", "inputs": {"b64": base64.b64encode(data).decode()}}


def large(size):
    """A request of about `size` bytes that would be answered."""
    return json.dumps({"inputs": [1.0], "ignored": "x" * size}).encode()


def read_all(connection):
    with connection:
        pieces = list(iter(lambda: connection.recv(65536), b""))
    return b"".join(pieces)


@pytest.fixture
def still_serves():
    def check(client):
        assert client.predict(SMALL)[0] == 200

    return check


def test_beyond_the_queue_requests_are_turned_away_while_status_requests_are_answered(
    serve, base, gate, eventually, still_serves
):
    client = serve(base(), workers=1, queue=1)
    gates = [gate(client), gate(client)]
    eventually(lambda: client.busy(2))
    status, body, headers = client.predict(SMALL)
    assert status == 503 and headers["retry-after"] == "1"
    assert json.loads(body) == {"error": "The server is busy and its queue is full; try again later."}
    assert client.ask("GET", "/v1/models/vxm")[0] == 200
    for each in gates:
        each.path.write_text("open")
    assert [each.open() for each in gates] == [(200, {"outputs": 1.0})] * 2
    eventually(lambda: client.busy(0))
    still_serves(client)


def test_as_many_as_there_are_workers_run_at_a_time(serve, base, gate, eventually):
    client = serve(base(), workers=2, queue=2)
    first, second = gate(client), gate(client)
    # Each can be let go in any order only if both run.
    assert second.open()[0] == first.open()[0] == 200


def test_work_whose_time_is_over_keeps_its_thread_and_its_place_until_it_ends(
    serve, base, gate, eventually, still_serves
):
    client = serve(base(), workers=1, queue=1, answer_seconds=0.5)
    stuck = gate(client)
    stuck.thread.join()
    assert stuck.answer[0] == 504
    assert json.loads(stuck.answer[1])["error"] == "No answer within 0.5 seconds, the limit here."
    eventually(lambda: client.busy(1))
    assert client.predict(SMALL)[0] == 504
    eventually(lambda: client.busy(1))
    stuck.open()
    eventually(lambda: client.busy(0))
    still_serves(client)


def test_a_large_body_is_refused_by_its_length_and_the_client_hears_why(serve, base, still_serves):
    client = serve(base(), max_request_mb=1)
    assert client.predict(large(900_000))[0] == 200
    assert client.status_of(large(20 * MEGABYTE)) == (
        413, "The request's body has more than 1 MB, the limit here."
    )  # fmt: skip
    announced = read_all(client.open(HEAD + b"Content-Length: 1000000000000\r\nExpect: 100-continue\r\n\r\n"))
    assert announced.startswith(b"HTTP/1.1 413") and b"100 Continue" not in announced
    still_serves(client)


def test_a_large_body_without_a_length_is_refused_as_soon_as_it_is_too_large(serve, base, still_serves):
    client = serve(base(), max_request_mb=1)
    small = iter([b'{"inputs":', b" [1.0]}"])
    assert client.ask("POST", "/v1/models/vxm:predict", small)[0] == 200
    with client.open(HEAD + b"Transfer-Encoding: chunked\r\n\r\n") as connection:
        for _ in range(17):
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        # The body has no end yet.
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
    still_serves(client)


def test_a_gzipped_body_is_inflated_up_to_the_limit(serve, base, still_serves):
    client = serve(base(), max_request_mb=1)
    header = {"Content-Encoding": "gzip"}
    assert client.predict(gzip.compress(large(900_000)), headers=header)[0] == 200
    assert client.status_of(gzip.compress(large(50 * MEGABYTE)), headers=header) == (
        413, "The request's body inflates to more than 1 MB, the limit here."
    )  # fmt: skip
    whole = gzip.compress(b'{"inputs": [1.0]}')
    assert client.status_of(whole[:-9], headers=header)[1] == (
        "The request's body is truncated: its gzip stream has no end."
    )
    assert client.status_of(b"no gzip at all", headers=header) == (
        400, "The request's body is no valid gzip data: its stream is corrupt."
    )  # fmt: skip
    assert client.status_of(SMALL, headers={"Content-Encoding": "br"})[0] == 415
    still_serves(client)


def test_binary_inputs_are_inflated_up_to_the_limit(serve, base, still_serves):
    client = serve(base(), max_inflated_mb=2)
    volume = gzip.compress(bytes(2 * MEGABYTE))
    assert client.predict(inflate(volume))[:2] == (200, b'{\n    "outputs": 2097152\n}')
    too_large = (413, "A binary input inflates to more than 2 MB, the limit here.")
    assert client.status_of(inflate(gzip.compress(bytes(2 * MEGABYTE + 1)))) == too_large
    assert client.status_of(inflate(volume + gzip.compress(b"x"))) == too_large
    # The limit is for all inputs of a request together.
    half = {"b64": base64.b64encode(gzip.compress(bytes(MEGABYTE))).decode()}
    assert client.predict({"signature_name": "copy", "inputs": [half, half]})[0] == 200
    assert client.status_of({"signature_name": "copy", "inputs": [half, half, half]}) == too_large
    still_serves(client)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: data[:-5], "A binary input is truncated: its gzip stream has no end."),
        (lambda data: data[:3], "A binary input is truncated: its gzip stream has no end."),
        (lambda data: data[:40] + b"????" + data[44:], "A binary input is no valid gzip data: its stream is corrupt."),
        (lambda data: data + b"and more", "A binary input is no valid gzip data: its stream is corrupt."),
    ],
)
def test_a_damaged_binary_input_is_the_clients_fault(serve, base, still_serves, damage, message):
    client = serve(base())
    data = gzip.compress(bytes(range(256)) * 50)
    assert client.status_of(inflate(damage(data))) == (400, message)
    still_serves(client)


def test_counting_a_bomb_takes_no_memory():
    bomb = gzip.compress(bytes(100 * MEGABYTE))
    tracemalloc.start()
    try:
        with pytest.raises(RequestError):
            InflationGuard(99 * MEGABYTE).check(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_slow_client_is_told_and_hinders_nobody(serve, base, eventually, still_serves):
    client = serve(base(), request_seconds=0.5)
    connection = client.open(HEAD + b'Content-Length: 100\r\n\r\n{"inputs"')
    still_serves(client)
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"error": "The request did not arrive within 0.5 seconds, the limit here."' in answer
    eventually(lambda: client.busy(0))
    still_serves(client)


def test_a_truncated_upload_is_forgotten(serve, base, eventually, still_serves):
    client = serve(base())
    connection = client.open(HEAD + b'Content-Length: 100\r\n\r\n{"inputs"')
    eventually(lambda: client.busy(1))
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
    eventually(lambda: client.busy(0))
    still_serves(client)


def test_a_client_that_does_not_take_its_answer_is_left(serve, base, eventually, still_serves):
    client = serve(base(), request_seconds=2)
    body = json.dumps({"signature_name": "echo", "inputs": [0.1] * 1_000_000}).encode()
    connection = client.open(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    eventually(lambda: client.busy(1))
    eventually(lambda: client.busy(0))
    still_serves(client)
    connection.close()


def test_many_clients_at_once_get_their_own_answers(serve, base):
    client = serve(base(factor=3), workers=2, queue=30)
    failures = []

    def ask(number):
        for step in range(10):
            value = 10 * number + step
            status, body, _ = client.predict({"instances": [value]})
            if status != 200 or json.loads(body) != {"predictions": [3.0 * value]}:
                failures.append((value, status, body))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    page = client.ask("GET", "/monitoring/prometheus/metrics")[1]
    assert b':tensorflow:serving:request_count{model_name="vxm",status="OK"} 80\n' in page
