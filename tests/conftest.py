"""What all tests share: a seeded generator, shapes whose axes cannot be mistaken, fields, and slow oracles."""

import contextlib
import http.server
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import nibabel
import numpy as np
import pytest

# Before keras: importing the package sets what TensorFlow reads when it is first imported.
import vxm_tf.models

# isort: split
import keras
import tensorflow as tf

from vxm_tf.ops import fusion

SHAPES = [(15, 18), (9, 10, 11)]
# Turned, flipped and anisotropic, so that a lost or transposed affine shows.
AFFINE = np.array([[0.0, 0.0, 1.5, -20.0], [-2.0, 0.0, 0.0, 30.0], [0.0, -1.25, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture(autouse=True)
def clean_keras():
    """Weights are seeded, and a precision policy that a test sets ends with the test."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=SHAPES, ids=["2-D", "3-D"])
def shape(request):
    return request.param


@pytest.fixture(params=[(17,), *SHAPES], ids=["1-D", "2-D", "3-D"])
def any_shape(request):
    """1-D comes free."""
    return request.param


@pytest.fixture
def compiler():
    """`set_compiler` for one test: the compiler that was in use comes back afterwards."""
    before = fusion._compiler
    yield fusion.set_compiler
    fusion.set_compiler(before)


@pytest.fixture
def positions():
    """positions(shape)[i, j, k] = (i, j, k), in float64."""
    return lambda shape: np.moveaxis(np.indices(shape, dtype="float64"), 0, -1)


@pytest.fixture
def random_field(rng):
    """random_field(shape, amplitude, batch): every component of every voxel on its own."""

    def draw(shape, amplitude=1.0, batch=2):
        return rng.normal(0, amplitude, (batch, *shape, len(shape))).astype("float32")

    return draw


@pytest.fixture
def trilinear_fold():
    """`[6, 6, 6, 3]`: every tetrahedron keeps a fifth of its volume, and trilinear interpolation folds in one cube."""
    field = np.zeros((6, 6, 6, 3))
    hundredths = np.loadtxt(Path(__file__).parent / "trust" / "folds" / "files" / "trilinear_fold.txt")
    field[1:5, 1:5, 1:5] = hundredths.reshape(4, 4, 4, 3) / 100
    return field


@pytest.fixture
def smooth_field(positions):
    """smooth_field(shape, amplitude): one arch an axis, 0 on every face, so that nothing leaves the grid."""

    def make(shape, amplitude=1.0, batch=2):
        ndim = len(shape)
        arch = np.prod(np.sin(np.pi * positions(shape) / (np.array(shape) - 1.0)), axis=-1)
        item, axis = np.indices((batch, ndim))
        components = (-1.0) ** (item + axis) / (1.0 + 0.3 * axis)
        return (amplitude * arch[None, ..., None] * components.reshape(batch, *[1] * ndim, ndim)).astype("float32")

    return make


@pytest.fixture
def check_gradient(rng):
    """check_gradient(function, *arrays): backpropagation against central differences along random directions."""

    def check(function, *arrays, step=1e-2, rtol=5e-3):
        tensors = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        weights = rng.normal(size=value.shape).astype("float32")
        gradients = tape.gradient(value, tensors, output_gradients=tf.constant(weights))

        def total(index, moved):
            moved_arrays = [moved if i == index else array for i, array in enumerate(arrays)]
            return np.sum(np.asarray(function(*moved_arrays), "float64") * weights)

        for index, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
            gradient = np.asarray(gradient, "float64")
            for _ in range(3):
                direction = rng.normal(size=array.shape)
                direction /= np.abs(direction).max()
                ahead, behind = ((array + sign * step * direction).astype("float32") for sign in (1, -1))
                slope = (total(index, ahead) - total(index, behind)) / (2 * step)
                scale = np.sqrt(np.sum((gradient * direction) ** 2))
                np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=0, atol=rtol * scale)

    return check


@pytest.fixture
def smooth_images():
    """smooth_images(shape, channels, batch): waves in [0, 1], every item and channel another one."""

    def make(shape, channels=(1, 1), batch=2):
        index = np.moveaxis(np.indices(shape), 0, -1)
        images = {}
        for start, (name, count) in enumerate(zip(("moving", "fixed"), channels, strict=True)):
            item, channel = np.indices((batch, count))
            phase = (1.3 * start + item + 0.7 * channel).reshape(batch, *[1] * len(shape), count)
            waves = np.sin(index @ np.linspace(0.2, 0.5, len(shape)))[None, ..., None] * np.cos(phase)
            images[name] = (0.5 + 0.5 * np.sin(3 * waves + phase)).astype("float32")
        return images

    return make


@pytest.fixture
def network(smooth_images):
    """network(shape, amplitude, **settings): a small one whose velocity reaches some `amplitude` voxels."""

    def make(shape, amplitude=0.5, **settings):
        settings = {"features": ((4, 6), (6, 4, 4)), "integration_steps": 3, **settings}
        model = vxm_tf.models.VxmDense(shape, **settings)
        head = model.get_layer("flow")
        kernel, bias = head.get_weights()
        kernel = keras.random.normal(kernel.shape, seed=1)
        head.set_weights([kernel, bias])
        images = smooth_images([size or 16 for size in shape], model.settings["channels"])
        velocity = model.with_outputs("velocity")(images)["velocity"]
        head.set_weights([kernel * amplitude / np.abs(velocity).max(), bias])
        return model

    return make


@pytest.fixture
def constant_network():
    """constant_network(image_shape, displacement, channels): answers `displacement` everywhere."""

    def make(image_shape, displacement, channels=1):
        settings = {"integration_resolution": 1, "integration_steps": 0}
        network = vxm_tf.models.VxmDense(image_shape, channels=channels, features=((4,), (4,)), **settings)
        kernel, _ = network.get_layer("flow").get_weights()
        network.get_layer("flow").set_weights([np.zeros_like(kernel), np.array(displacement, "float32")])
        return network

    return make


@pytest.fixture
def affine():
    return AFFINE.copy()


@pytest.fixture
def write_nibabel(tmp_path):
    """write_nibabel(name, array) -> path of a file with that array and `AFFINE`."""

    def write(name, array):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = nibabel.MGHImage if path.suffix in (".mgz", ".mgh") else nibabel.Nifti1Image
        nibabel.save(kind(array, AFFINE), path)
        return path

    return write


@pytest.fixture
def write_npz(tmp_path, rng):
    """write_npz(name, shape, **arrays) -> path of an NPZ with a random `vol` and whatever else is given."""

    def write(name, shape=(9, 10, 11), **arrays):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{"vol": rng.random(shape, dtype="float32"), **arrays})
        return path

    return write


class StubServer(http.server.ThreadingHTTPServer):
    """Answers requests in turn by `answers`, the last of them from then on, and keeps what it was asked.

    An answer is (status, headers, body), or a function of the request handler that sends one.
    """

    daemon_threads = True
    # Handlers that are silent on purpose end with the test's process.
    block_on_close = False

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), StubHandler)
        self.answers, self.requests = list(answers), []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.done = threading.Event()

    @property
    def bodies(self):
        return [json.loads(body) for _, _, _, body in self.requests]


class StubHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answers, requests = self.server.answers, self.server.requests
        requests.append((self.command, self.path, self.headers, body))
        answer = answers[min(len(requests), len(answers)) - 1]
        answer(self) if callable(answer) else self.answer(*answer)

    def do_GET(self):
        self.headers["Content-Length"] = "0"
        self.do_POST()

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def stub_server():
    """stub_server(*answers) -> `StubServer` that listens."""
    with contextlib.ExitStack() as stack:

        def start(*answers):
            server = stack.enter_context(StubServer(answers))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            stack.callback(server.shutdown)
            stack.callback(server.done.set)
            return server

        yield start


WITHOUT_TENSORFLOW = """
    import importlib.util, sys

    class Hiding:
        def __init__(self, finder):
            self.finder = finder

        def find_spec(self, name, *rest):
            return None if name.partition(".")[0] in ("keras", "tensorflow") else self.finder.find_spec(name, *rest)

        def __getattr__(self, name):
            return getattr(self.finder, name)

    sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


@pytest.fixture
def run_without_tensorflow():
    """run_without_tensorflow(script, *arguments) -> what it printed, in a process that finds no Keras or TensorFlow."""

    def run(script, *arguments):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        code = textwrap.dedent(WITHOUT_TENSORFLOW) + textwrap.dedent(script)
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
