"""Writes answers as JSON with RapidJSON, the library of TensorFlow Serving, so that the layout is nearly the same."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import rapidjson
import tensorflow as tf
from google.protobuf import json_format

from vxm_tf.serving.rest.body import MEGABYTE
from vxm_tf.serving.rest.errors import STATUS_NAMES, invalid, type_name

INDENT = 4
# Number of values that become Python objects at a time; with more, the garbage collector takes most of the time.
BLOCK = 1 << 10
BYTES_SUFFIX = "_bytes"
# An error message repeats names from the request, and some are long.
ERROR_CHARACTERS = 2000
WHOLE_NUMBERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)
WRITABLE = (tf.float32, tf.float64, tf.bool, tf.string, *WHOLE_NUMBERS)


class _Pieces(list):
    """Collects JSON text as bytes.

    Each character stands for one byte, because strings that a model returns need not be UTF-8.
    """

    encoding = "latin-1"

    def write(self, text: str) -> None:
        self.append(text.encode(self.encoding))


def json_pieces(value: Any, rows: bool = False) -> list[bytes]:
    """Return JSON text in pieces of at most a megabyte.

    Args:
        value: objects, iterables, numbers and strings; each character of a string stands for one byte.
        rows: whether lists stay on one line.
    """
    pieces: Any = _Pieces()
    mode = rapidjson.WM_SINGLE_LINE_ARRAY if rows else rapidjson.WM_PRETTY
    rapidjson.dump(value, pieces, indent=INDENT, write_mode=mode, ensure_ascii=False, chunk_size=MEGABYTE)
    return pieces


def write_error(message: str) -> list[bytes]:
    """Return the body of an error, with a long message cut."""
    if len(message) > ERROR_CHARACTERS:
        message = message[: ERROR_CHARACTERS - 3] + "..."
    return json_pieces({"error": _characters(message.encode("utf-8", "replace"))})


def write_status(states: Iterable[tuple[int, str, str]]) -> list[bytes]:
    """Return the answer to GET /v1/models/NAME.

    Args:
        states: version, name of its state, and error message, in the order to show.
    """
    entries = [
        {
            "version": str(version),
            "state": state,
            "status": {
                "error_code": "UNKNOWN" if message else STATUS_NAMES[200],
                "error_message": _characters(message.encode("utf-8", "replace")),
            },
        }
        for version, state, message in states
    ]
    return json_pieces({"model_version_status": entries})


def write_metadata(name: str, version: int, definitions: Mapping[str, Any]) -> list[bytes]:
    """Return the answer to GET /v1/models/NAME/metadata.

    Args:
        name: name of the model.
        version: number of the version.
        definitions: `SignatureDef` of each signature, by name.
    """
    signatures = {
        key: json_format.MessageToDict(
            definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        for key, definition in sorted(definitions.items())
    }
    document = {
        "model_spec": {"name": name, "version": str(version), "signature_name": ""},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }
    text = rapidjson.dumps(document, indent=INDENT, ensure_ascii=False)
    return [text.encode("utf-8")]


def write_response(outputs: Mapping[str, tf.Tensor], rows: bool) -> list[bytes]:
    """Return the answer to a predict request.

    Args:
        outputs: tensor of each output, by name.
        rows: whether the answer has one entry for each item of the batch; otherwise one for each output.

    Raises:
        RequestError: 400; a type that JSON lacks, or outputs that cannot be cut into rows.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if rows:
        _check_batch(outputs)
    values = {_characters(name.encode()): _values(name, outputs[name]) for name in sorted(outputs)}
    if len(values) == 1:
        (answer,) = values.values()
    elif rows:
        answer = (dict(zip(values, row)) for row in zip(*values.values()))
    else:
        answer = values
    return json_pieces({"predictions" if rows else "outputs": answer}, rows)


def _check_batch(outputs: Mapping[str, tf.Tensor]) -> None:
    size = None
    for name, tensor in sorted(outputs.items()):
        if tensor.shape.rank == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and tensor.shape[0] != size:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {tensor.shape[0]} expecting: {size}")
        size = tensor.shape[0]


def _values(name: str, tensor: tf.Tensor) -> Any:
    """Return an output as what RapidJSON can write; a large one is converted while it is written."""
    if tensor.dtype not in WRITABLE:
        raise invalid(f"Failed to write JSON value for tensor type: {type_name(tensor.dtype)}")
    if tensor.dtype != tf.string:
        return _lists(np.asarray(tensor.numpy()))
    as_text = np.frompyfunc(_base64 if name.endswith(BYTES_SUFFIX) else _characters, 1, 1)
    return np.asarray(as_text(np.asarray(tensor.numpy(), object)), object).tolist()


def _lists(array: np.ndarray) -> Any:
    if array.ndim and array.size > BLOCK:
        return _blocks(array)
    return (short_decimals(array) if array.dtype == np.float32 else array).tolist()


def _blocks(array: np.ndarray) -> Iterator[Any]:
    step = BLOCK * len(array) // array.size
    if not step:
        yield from map(_lists, array)
    else:
        for start in range(0, len(array), step):
            yield from _lists(array[start : start + step])


def short_decimals(values: np.ndarray) -> np.ndarray:
    """Return float64 numbers whose shortest text is a short text of the float32 numbers.

    The text has six significant digits where these read back as the same float32, else nine, as in TensorFlow
    Serving: 0.1 is written as 0.1 instead of 0.10000000149011612. The numbers themselves, as float32, are unchanged.

    Example:
        >>> short_decimals(np.array([0.1, 1 / 3], "float32")).tolist()
        [0.1, 0.333333343]
    """
    wide = values.astype("float64")
    short = wide.copy()
    with np.errstate(all="ignore"):
        magnitude = np.floor(np.log10(np.abs(wide)))
        for digits in (9, 6):
            # Powers of ten up to 22 are exact in float64, so product and quotient are nearest to their decimal text.
            power = digits - 1 - magnitude
            scale = 10.0 ** np.minimum(np.abs(power), 22)
            decimal = np.where(power < 0, np.rint(wide / scale) * scale, np.rint(wide * scale) / scale)
            np.copyto(short, decimal, where=decimal.astype("float32") == values)
    return short


def _characters(value: bytes) -> str:
    return value.decode("latin-1")


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}
