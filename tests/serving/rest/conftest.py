"""A server over real HTTP, and small models that show what it does."""

import http.client
import json
import socket
import threading
import time

import pytest
import tensorflow as tf

from vxm_tf.serving.rest import Limits, Model, Policy, RestServer


class Scaler(tf.Module):
    """Multiplies by a number, waits for a file, takes volumes as bytes, and fails on request."""

    def __init__(self, factor):
        self.factor = tf.Variable(factor, dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def scale(self, x):
        tf.debugging.assert_less(x, 1000.0, message="x must be less than 1000")
        return {"y": x * self.factor}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="gate")])
    def wait(self, gate):
        """Runs until the file at that path is not empty."""
        # The path depends on what was read, or reading would be moved out of the loop.
        text = tf.while_loop(
            lambda text: tf.equal(tf.strings.length(text), 0),
            lambda text: [tf.io.read_file(tf.strings.join([gate, text]))],
            [tf.constant("")],
        )[0]
        with tf.control_dependencies([text]):
            return {"factor": tf.identity(self.factor)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="volume")])
    def inflate(self, volume):
        return {"size": tf.strings.length(tf.io.decode_compressed(volume, "GZIP"))}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def echo(self, x):
        return {"x": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
    def copy(self, s):
        return {"s_bytes": tf.identity(s)}


def save(module, folder):
    """Write the module with all its functions as signatures."""
    names = {"serving_default": "scale", "wait": "wait", "inflate": "inflate", "echo": "echo", "copy": "copy"}
    signatures = {name: getattr(module, attribute) for name, attribute in names.items()}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def wait_until(condition):
    """Wait until `condition()` is true."""
    ends = time.monotonic() + 60
    while not condition():
        if time.monotonic() > ends:
            pytest.fail("waited for a minute in vain")
        time.sleep(0.01)


class Gate:
    """A request that runs until it is let go."""

    def __init__(self, client, path):
        path.touch()
        self.path = path
        self.answer = None
        body = {"signature_name": "wait", "inputs": str(path)}
        self.thread = threading.Thread(target=lambda: setattr(self, "answer", client.predict(body)))
        self.thread.start()

    def open(self):
        """Let the request go, and wait for its answer: (status, JSON)."""
        self.path.write_text("open")
        self.thread.join(60)
        return (self.answer[0], json.loads(self.answer[1])) if self.answer else None


class Client:
    """Asks one server, over a connection for each request."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None, headers=()):
        """(status, body, headers in lower case) of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}
        finally:
            connection.close()

    def predict(self, body, model="vxm", **kwargs):
        """The same for a prediction; `body` is bytes or what becomes JSON."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", f"/v1/models/{model}:predict", body, **kwargs)

    def status_of(self, body, **kwargs):
        """(status, error message) of a prediction."""
        status, answer, _ = self.predict(body, **kwargs)
        return status, json.loads(answer).get("error")

    def busy(self, places):
        """Whether this many places of the server are taken."""
        return self.server.app.queue.taken == places

    def open(self, text):
        """A socket that has sent the beginning of a request."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(text)
        return connection


@pytest.fixture(scope="session")
def scalers(tmp_path_factory):
    """Folder with SavedModels x1, x2 and x3, which multiply by that."""
    folder = tmp_path_factory.mktemp("scalers")
    for factor in (1, 2, 3):
        save(Scaler(factor), folder / f"x{factor}")
    return folder


@pytest.fixture
def base(tmp_path, scalers):
    """base(number, factor) adds a version to a base folder, and returns that folder."""

    def add(number=1, factor=1):
        folder = tmp_path / "base"
        folder.mkdir(exist_ok=True)
        (folder / str(number)).symlink_to(scalers / f"x{factor}")
        return folder

    return add


@pytest.fixture(scope="session")
def connect():
    """connect(port) -> a client."""
    return Client


@pytest.fixture
def eventually():
    """eventually(condition) waits until `condition()` is true."""
    return wait_until


@pytest.fixture
def gate(tmp_path, serve):
    """gate(client) -> a request that runs, or waits for its turn, until its `open`."""
    gates = []

    def make(client):
        gates.append(Gate(client, tmp_path / f"gate-{len(gates)}"))
        return gates[-1]

    yield make
    for each in gates:
        each.open()


@pytest.fixture
def serve():
    """serve(base_path, versions, labels, **limits) -> a client of a new server."""
    servers = []

    def start(base_path, versions="latest", labels=None, name="vxm", poll_seconds=0.05, **limits):
        model = Model(name, base_path, Policy.parse(versions), labels)
        server = RestServer([model], port=0, limits=Limits(**limits), poll_seconds=poll_seconds).start()
        servers.append(server)
        client = Client(server.port)
        client.server = server
        return client

    yield start
    for server in servers:
        server.stop()
