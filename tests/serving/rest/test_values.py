"""Values go through a real server and come back: every type, NaN and infinities, strings and bytes."""

import base64
import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

from vxm_tf.serving.rest import Model, RestServer, responses
from vxm_tf.serving.rest.errors import RequestError
from vxm_tf.serving.rest.responses import write_response

WHOLE = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
SHAPES = ((0,), (7,), (3, 0), (0, 3), (2, 3, 4), (1, 5, 1), (2, 0, 3), (4, 1, 3, 2))
FLOATS = ("float32", "float64")


def echo(dtype, shape=None):
    """A function that returns its input."""
    return tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[tf.TensorSpec(shape, dtype, name="x")])


@pytest.fixture(scope="module")
def client(tmp_path_factory, connect):
    folder, module = tmp_path_factory.mktemp("echoes"), tf.Module()
    module.echoes = {name: echo(name) for name in (*WHOLE, *FLOATS, "bool", "string", "float16", "bfloat16")}
    module.both = tf.function(
        lambda x: {"x": tf.identity(x), "x_bytes": tf.identity(x)},
        input_signature=[tf.TensorSpec([None], tf.string, name="x")],
    )
    tf.saved_model.save(module, str(folder / "1"), signatures={**module.echoes, "both": module.both})
    with RestServer([Model("vxm", folder)], port=0) as server:
        yield connect(server.port)


@pytest.fixture
def answer(client):
    """answer(signature, inputs, rows) -> the outputs or predictions that come back for these JSON values."""

    def ask(signature, value, rows=False):
        status, body, _ = client.predict({"signature_name": signature, "instances" if rows else "inputs": value})
        read = json.loads(body.decode("utf-8", "surrogateescape"))
        assert status == 200, read
        return read["predictions" if rows else "outputs"]

    return ask


def any_numbers(rng, dtype, count=20_000):
    """Numbers of every size: any bits, few decimals, whole numbers, the smallest and the largest."""
    bits = rng.integers(0, 2**63, count, dtype="uint64") * np.uint64(2)
    info = np.finfo(dtype)
    # Any bits include what is no number, or too large for float32.
    with np.errstate(all="ignore"):
        parts = [
            (bits >> np.uint64(32)).astype("uint32").view("float32") if dtype == "float32" else bits.view("float64"),
            np.round(rng.normal(0, 100, count), 3),
            rng.integers(-(2**40), 2**40, count) >> rng.integers(0, 40, count),
            10.0 ** np.arange(-45, 39),
            [0.0, -0.0, np.nan, np.inf, -np.inf, info.max, -info.max, info.tiny, info.smallest_subnormal, 16777217],
        ]
        return np.concatenate([np.asarray(part).astype(dtype) for part in parts])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_come_back_bit_for_bit(rng, answer, dtype, rows):
    values = any_numbers(rng, dtype)
    back = np.array(answer(dtype, values.tolist(), rows)).astype(dtype)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(back, values)
    assert back[numbers].tobytes() == values[numbers].tobytes()


def test_float32_has_a_short_text(client):
    values = np.float32([0.1, 1 / 3, 5, 16777216, 9e6, 1e-7]).tolist()
    body = client.predict({"signature_name": "float32", "instances": values})[1]
    assert json.loads(body, parse_float=str) == {
        "predictions": ["0.1", "0.333333343", "5.0", "16777216.0", "9000000.0", "1e-07"]
    }


@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers_are_exact(answer, dtype):
    info = np.iinfo(dtype)
    values = [int(info.min), 0, int(info.max)]
    back = answer(dtype, values)
    assert back == values and {type(value) for value in back} == {int}


@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers_beyond_their_type_are_refused(client, dtype):
    beyond = int(np.iinfo(dtype).max) + 1
    status, message = client.status_of({"signature_name": dtype, "inputs": [0, beyond]})
    assert status == 400 and message.startswith(f"JSON Value: {beyond} Type: Number is not of expected type: {dtype}")


def test_booleans_come_back(answer):
    assert answer("bool", [[True, False], [False, False]]) == [[True, False], [False, False]]


@pytest.mark.parametrize("dtype, name", [("float16", "half"), ("bfloat16", "bfloat16")])
def test_half_precision_is_refused_both_ways_as_in_tensorflow_serving(client, dtype, name):
    status, message = client.status_of({"signature_name": dtype, "inputs": [[1.5]]})
    assert (status, message) == (501, f"Conversion of JSON Value: 1.5 to type: {name}")
    with pytest.raises(RequestError, match=f"Failed to write JSON value for tensor type: {name}"):
        write_response({"h": tf.zeros([2], dtype)}, rows=False)


@pytest.mark.parametrize("text", ["", 'say "\\n"\n\x1f\t/', "snow \N{SNOWMAN} \N{GRINNING FACE}", "x" * 3_000_000])
def test_text_comes_back(answer, text):
    assert answer("string", [text, "x"]) == [text, "x"]


def test_bytes_come_back_as_base64_where_the_name_says_so_and_as_they_are_where_it_does_not(answer, rng):
    values = [bytes(range(256)), rng.bytes(3_000_001), b"", b"\xff\0"]
    back = answer("both", [{"b64": base64.b64encode(value).decode()} for value in values])
    assert [base64.b64decode(value["b64"]) for value in back["x_bytes"]] == values
    assert [value.encode("utf-8", "surrogateescape") for value in back["x"]] == values


@pytest.fixture(params=[1, 2, 5, 7, 1 << 10])
def block(monkeypatch, request):
    """Values are written in whole blocks, blocks that end within a list, and lists that are longer than a block."""
    monkeypatch.setattr(responses, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("shape, rows", [((), False), *itertools.product(SHAPES, (False, True))])
def test_every_shape_is_written(shape, rows):
    array = (np.arange(np.prod(shape, dtype=int)) / 2).astype("float32").reshape(shape)
    key, large = "predictions" if rows else "outputs", array > 1

    def read(outputs):
        return json.loads(b"".join(write_response(outputs, rows)))

    assert read({"y": tf.constant(array)}) == {key: array.tolist()}
    both = {"a": large.tolist(), "b": array.tolist()}
    expected = [{"a": a, "b": b} for a, b in zip(both["a"], both["b"])] if rows else both
    assert read({"b": tf.constant(array), "a": tf.constant(large)}) == {key: expected}


def test_lists_are_on_one_line_in_rows_and_over_many_in_columns():
    outputs = {"y": tf.constant([[1.0, 2.0], [3.0, 4.0]])}
    assert b"[[1.0, 2.0], [3.0, 4.0]]" in b"".join(write_response(outputs, rows=True))
    assert b"".join(write_response(outputs, rows=False)).count(b"\n") == 11


@pytest.mark.parametrize(
    "outputs, message",
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"a": tf.zeros([2]), "b": tf.zeros([3])}, "Tensor name: b has inconsistent batch size: 3 expecting: 2"),
        ({"a": tf.zeros([2]), "b": tf.zeros([])}, "Tensor name: b has no shape information "),
        ({"a": tf.zeros([2], tf.complex64)}, "Failed to write JSON value for tensor type: complex64"),
    ],
)
def test_what_cannot_be_cut_into_rows(outputs, message):
    with pytest.raises(RequestError) as caught:
        write_response(outputs, rows=True)
    assert (caught.value.status, caught.value.message) == (400, message)
