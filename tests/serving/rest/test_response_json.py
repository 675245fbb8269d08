"""The layout of an answer, against a writer that goes value by value."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf

from vxm_tf.serving.rest import response_json
from vxm_tf.serving.rest.errors import RequestError
from vxm_tf.serving.rest.response_json import write_response


def laid_out(value, depth=0):
    """Four blanks a level, one value on each line."""
    blanks = "    " * depth
    if isinstance(value, dict):
        members = [f"{blanks}    {json.dumps(name)}: {laid_out(item, depth + 1)}" for name, item in value.items()]
        return "{\n" + ",\n".join(members) + f"\n{blanks}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"{blanks}    {laid_out(item, depth + 1)}" for item in value) + f"\n{blanks}]"
    return json.dumps(value)


def text(outputs, rows=False):
    return b"".join(write_response(outputs, rows)).decode()


# Whole blocks, blocks that end within a list, and lists that are longer than a block.
@pytest.mark.parametrize("block", [1, 2, 5, 7, 1 << 16])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 0), (0, 3), (2, 3, 4), (1, 5, 1), (2, 0, 3), (4, 1, 3, 2)])
def test_columns_have_one_value_on_each_line(monkeypatch, block, shape):
    monkeypatch.setattr(response_json, "BLOCK", block)
    array = (np.arange(np.prod(shape, dtype=int)) / 2).astype("float32").reshape(shape)
    assert text({"y": tf.constant(array)}) == laid_out({"outputs": array.tolist()})
    two = {"b": tf.constant(array), "a": tf.constant(array > 1)}
    assert text(two) == laid_out({"outputs": {"a": (array > 1).tolist(), "b": array.tolist()}})


@pytest.mark.parametrize("block", [1, 2, 5, 7, 1 << 16])
@pytest.mark.parametrize("shape", [(7,), (3, 0), (2, 3, 4), (1, 5, 1), (2, 0, 3), (4, 1, 3, 2)])
def test_rows_have_their_lists_on_one_line(monkeypatch, block, shape):
    monkeypatch.setattr(response_json, "BLOCK", block)
    array = (np.arange(np.prod(shape, dtype=int)) / 2).astype("float32").reshape(shape)
    rows = [json.dumps(row) for row in array.tolist()]
    assert text({"y": tf.constant(array)}, rows=True) == '{\n    "predictions": [' + ", ".join(rows) + "\n    ]\n}"
    both = [f'        {{\n            "a": {row},\n            "b": {row}\n        }}' for row in rows]
    expected = '{\n    "predictions": [\n' + ",\n".join(both) + "\n    ]\n}"
    assert text({"a": tf.constant(array), "b": tf.constant(array)}, rows=True) == expected


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_whole_numbers_are_exact(dtype):
    info = np.iinfo(dtype)
    values = [info.min, 0, info.max]
    assert json.loads(text({"n": tf.constant(np.array(values, dtype))})) == {"outputs": values}


def test_strings_are_escaped_and_bytes_are_base64():
    values = [b'say "\\n"\n\x1f\t', "\N{SNOWMAN}".encode(), b"\xff\0"]
    outputs = {"s": tf.constant(values), "s_bytes": tf.constant(values)}
    pieces = b"".join(write_response(outputs, rows=False))
    read = json.loads(pieces.decode("utf-8", "surrogateescape"))["outputs"]
    assert [value.encode("utf-8", "surrogateescape") for value in read["s"]] == values
    assert [base64.b64decode(value["b64"]) for value in read["s_bytes"]] == values
    assert b'"say \\"\\\\n\\"\\n\\u001F\\t"' in pieces


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
