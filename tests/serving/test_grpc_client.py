"""The gRPC client, against TensorFlow's own messages and a server in this process."""

import concurrent.futures
import sys
import threading
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from vxm_tf.files import InputError
from vxm_tf.serving.client import ServingError, grpc_messages, retries
from vxm_tf.serving.graph import volume_bytes

grpc = pytest.importorskip("grpc")
GrpcClient = pytest.importorskip("vxm_tf.serving.client.grpc_client").GrpcClient

NIFTI = b"\x5c\x01\0\0"
TENSORS = [
    np.arange(6, dtype="float32").reshape(2, 3),
    np.array([[1, -2]], "int32"),
    np.array([2**40], "int64"),
    np.array([0.5, 2.5], "float64"),
    np.array([[7], [200]], "uint8"),
    np.array([40000], "uint16"),
    np.array([-300], "int16"),
    np.array([True, False]),
    np.array(3.0, "float32"),
    np.zeros((0, 3), "float32"),
    np.full((4, 5), 2.5, "float32"),
]


def tensorflow_of(tensor):
    return tensor_pb2.TensorProto.FromString(tensor.SerializeToString())


def ours_of(proto):
    return type(grpc_messages.to_tensor(b"")).FromString(proto.SerializeToString())


@pytest.mark.parametrize("array", TENSORS, ids=lambda a: f"{a.dtype}{list(a.shape)}")
def test_tensors_are_those_of_tensorflow(array):
    theirs = tf.make_ndarray(tensorflow_of(grpc_messages.to_tensor(array)))
    ours = grpc_messages.from_tensor(ours_of(tf.make_tensor_proto(array)))
    for received in (theirs, ours):
        np.testing.assert_array_equal(received, array)
        assert received.dtype == array.dtype and received.shape == array.shape


@pytest.mark.parametrize("array", TENSORS, ids=lambda a: f"{a.dtype}{list(a.shape)}")
def test_numbers_one_by_one_are_read(array):
    proto = tensor_pb2.TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum)
    proto.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    field = grpc_messages.NUMBERS[proto.dtype][1]
    same = array.size and np.all(array == array.flat[0])
    getattr(proto, field).extend(array.ravel()[: 1 if same else None].tolist())
    np.testing.assert_array_equal(grpc_messages.from_tensor(ours_of(proto)), array)


@pytest.mark.parametrize("value", [b"\0\xff", [b"a", b""]])
def test_strings_are_those_of_tensorflow(value):
    assert np.array_equal(tf.make_ndarray(tensorflow_of(grpc_messages.to_tensor(value))), np.array(value, object))
    assert grpc_messages.from_tensor(ours_of(tf.make_tensor_proto(value))) == value


@pytest.mark.parametrize(
    "value, kind", [([2, 3], "int32"), ([0.5], "float32"), (1, "int32"), (np.float64([1]), "float64"), ([], "float32")]
)
def test_plain_numbers_become_what_signatures_take(value, kind):
    assert tf.as_dtype(grpc_messages.to_tensor(value).dtype) == kind


@pytest.mark.parametrize("ids", [[0, 2**31], [-(2**31) - 1], [2**63]])
def test_ids_beyond_32_bits_are_refused_and_never_wrapped(ids):
    with pytest.raises(InputError, match="Whole numbers are sent in 32 bits, from -2147483648 to 2147483647; got"):
        grpc_messages.to_tensor(ids)


def test_large_ids_are_sent_as_they_are():
    sent = grpc_messages.from_tensor(grpc_messages.to_tensor([496345672, 2**31 - 1, -(2**31)]))
    assert sent.tolist() == [496345672, 2**31 - 1, -(2**31)]


def test_what_is_no_tensor_is_refused():
    with pytest.raises(ValueError, match="or strings; got complex64"):
        grpc_messages.to_tensor(np.zeros(2, "complex64"))


def test_a_request_is_on_the_wire_as_its_description_says():
    """Field numbers of `predict.proto` and `model.proto`; a map is repeated pairs."""
    request = grpc_messages.PredictRequest(
        model_spec={"name": "vxm", "version": {"value": 2}, "signature_name": "s", "version_label": "x"}
    )
    grpc_messages.to_tensor(b"!", request.inputs.add(key="k").value)
    spec = b"\x0a\x03vxm" + b"\x12\x02\x08\x02" + b"\x1a\x01s" + b"\x22\x01x"
    tensor = b"\x08\x07" + b"\x12\x00" + b"\x42\x01!"
    pair = b"\x0a\x01k" + b"\x12" + bytes([len(tensor)]) + tensor
    expected = b"\x0a" + bytes([len(spec)]) + spec + b"\x12" + bytes([len(pair)]) + pair
    assert request.SerializeToString(deterministic=True) == expected


class Server:
    """A server on gRPC whose answers are functions of (request, context)."""

    def __init__(self, predict, status=None):
        self.requests = []
        handlers = {"Predict": self._handler(predict, grpc_messages.PredictRequest)}
        models = {"GetModelStatus": self._handler(status, grpc_messages.StatusRequest)}
        options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), options=options)
        service = grpc.method_handlers_generic_handler
        self.server.add_generic_rpc_handlers(
            (
                service("tensorflow.serving.PredictionService", handlers),
                service("tensorflow.serving.ModelService", models),
            )
        )
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def _handler(self, answer, kind):
        def call(request, context):
            self.requests.append(request)
            return answer(request, context)

        return grpc.unary_unary_rpc_method_handler(call, kind.FromString, lambda message: message.SerializeToString())


@pytest.fixture
def serve():
    servers = []

    def start(predict=None, status=None):
        servers.append(Server(predict, status))
        return servers[-1]

    yield start
    for server in servers:
        server.server.stop(None)


@pytest.fixture
def sleeps(monkeypatch):
    seconds = []
    monkeypatch.setattr(retries, "time", types.SimpleNamespace(sleep=seconds.append))
    return seconds


def response(**outputs):
    message = grpc_messages.PredictResponse()
    for name, value in outputs.items():
        grpc_messages.to_tensor(value, message.outputs.add(key=name).value)
    return message


def test_files_larger_than_grpc_takes_by_default(serve, rng):
    moving = rng.bytes(5_000_000)
    server = serve(lambda request, _: response(moved_bytes=NIFTI + moving, transform_bytes=NIFTI))
    answer = GrpcClient(server.address, label="stable").register_nifti(moving, b"fixed")
    assert (answer.moved, answer.transform) == (NIFTI + moving, NIFTI)
    (request,) = server.requests
    assert (request.model_spec.name, request.model_spec.signature_name) == ("vxm", "register_nifti")
    assert request.model_spec.version_label == "stable" and not request.model_spec.HasField("version")
    assert {pair.key: grpc_messages.from_tensor(pair.value) for pair in request.inputs} == {
        "moving": moving,
        "fixed": b"fixed",
    }


def test_arrays(serve, rng, shape):
    displacement = rng.uniform(-9, 9, (*shape, len(shape))).astype("float32")
    moved = rng.random(shape, dtype="float32")
    moved_bytes, moved_range = volume_bytes.encode_image(tf.constant(moved))
    outputs = {
        "moved_bytes": moved_bytes.numpy(),
        "moved_range": moved_range.numpy(),
        "displacement_bytes": list(volume_bytes.encode_displacement(tf.constant(displacement)).numpy()),
        "shape": list(shape),
    }
    server = serve(lambda request, _: response(**outputs))
    answer = GrpcClient(server.address, version=4).register(moved, moved)
    assert np.abs(answer.displacement - displacement).max() < 0.01
    assert np.abs(answer.moved - moved).max() < 1e-4
    sent = {pair.key: grpc_messages.from_tensor(pair.value) for pair in server.requests[0].inputs}
    received = volume_bytes.decode(
        sent["fixed"], tf.constant(sent["fixed_shape"]), sent["fixed_dtype"], len(shape), "f"
    )
    np.testing.assert_array_equal(received, moved)
    assert sent["fixed_shape"].dtype == "int32"
    assert server.requests[0].model_spec.version.value == 4


def test_one_output_is_its_value(serve):
    server = serve(lambda request, _: response(displacement=[0.5]))
    assert GrpcClient(server.address).predict("displacement_only", {"moving": [1.0]}) == 0.5


def failing(code, text="Busy."):
    return lambda request, context: context.abort(getattr(grpc.StatusCode, code), text)


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "INTERNAL"])
def test_the_sentence_of_the_server_is_shown(serve, sleeps, code):
    server = serve(failing(code, "assertion failed: [no voxels] [3]\n\t [[{{node Assert}}]]"))
    with pytest.raises(ServingError, match=f"answered {code}: no voxels 3\\."):
        GrpcClient(server.address).predict("register", {"moving": b"m"})
    assert len(server.requests) == 1 and sleeps == []


@pytest.mark.filterwarnings("ignore:.*Retry")
def test_it_gives_up_in_the_end(serve, sleeps):
    server = serve(failing("UNAVAILABLE"))
    with pytest.raises(ServingError, match=r"answered UNAVAILABLE: Busy\. Check the address"):
        GrpcClient(server.address, retries=2).predict("register", {"moving": b"m"})
    assert len(server.requests) == 3 and len(sleeps) == 2


@pytest.mark.filterwarnings("ignore:.*Retry")
def test_what_passes_is_tried_again(serve, sleeps):
    def once_busy(request, context):
        return response(x=[1.0, 2.0]) if sleeps else failing("UNAVAILABLE")(request, context)

    assert list(GrpcClient(serve(once_busy).address).predict("register", {"moving": b"m"})) == [1.0, 2.0]


def test_a_silent_server_is_asked_once(serve, sleeps):
    over = threading.Event()
    server = serve(lambda request, context: response(x=[over.wait(20)]))
    with pytest.raises(ServingError, match="did not answer within 0.2 s.*raise timeout_seconds"):
        GrpcClient(server.address, timeout_seconds=0.2).predict("register", {"moving": b"m"})
    over.set()
    assert sleeps == []


def test_nobody_listens(serve):
    server = serve(failing("INTERNAL"))
    server.server.stop(None).wait()
    client = GrpcClient(server.address, retries=0)
    with pytest.raises(ServingError, match=r"answered UNAVAILABLE.*gRPC port \(8500\)"):
        client.predict("register", {"moving": b"m"})
    assert client.is_available() is False


@pytest.mark.parametrize("states, available", [([30], True), ([50, 30], True), ([20], False), ([], False)])
def test_a_model_is_available_once_it_is_loaded(serve, states, available):
    def status(request, context):
        message = grpc_messages.StatusResponse()
        for state in states:
            message.model_version_status.add(version=1, state=state)
        return message

    client = GrpcClient(serve(status=status).address)
    assert client.is_available() is available
    client.close()


def test_an_answer_that_is_none(serve):
    def odd(request, context):
        message = response(x=[1.0, 2.0])
        message.outputs[0].value.dtype = 99
        return message

    with pytest.raises(ServingError, match="type 99"):
        GrpcClient(serve(odd).address).predict("register", {})
    server = serve(lambda request, _: response(a=b"", b=b""))
    with pytest.raises(ServingError, match="lacks moved_bytes, transform_bytes; it holds a, b"):
        GrpcClient(server.address).register_nifti(b"m", b"f")


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:8500", "127.0.0.1", "host:port"])
def test_an_address_that_is_none(address):
    with pytest.raises(ValueError, match="gRPC takes host:port, such as 127.0.0.1:8500"):
        GrpcClient(address)


def test_without_grpc_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "vxm_tf.serving.client.grpc_client")
    with pytest.raises(ImportError, match=r"pip install 'vxm-tf\[grpc\]'"):
        import vxm_tf.serving.client.grpc_client  # noqa: F401
