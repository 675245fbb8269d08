"""Turns the JSON body of a predict request into arrays; error messages are those of TensorFlow Serving."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import rapidjson
import tensorflow as tf

from vxm_tf.serving.rest.body import InflationGuard
from vxm_tf.serving.rest.errors import RequestError, invalid
from vxm_tf.serving.rest.json_arrays import NUMBER_TOO_BIG, is_binary, read_array, shown

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
Inputs = Mapping[str, tf.TensorSpec]
# Messages that an offset would not make clearer.
WITHOUT_OFFSET = ("The document is empty", "Number too big", "The surrogate pair")


class _Decoder(rapidjson.Decoder):
    """Refuses a name that occurs twice in one object: which of the two values counts differs between parsers."""

    def start_object(self) -> list:
        return []

    def end_object(self, pairs: list) -> dict:
        members = dict(pairs)
        if len(members) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise invalid(f"JSON Parse error: The name {shown(twice)} occurs twice in one object.")
        return members


def parse(body: bytes | bytearray) -> dict[str, Any]:
    """Return the JSON object that a request's body holds, in UTF-8.

    Raises:
        RequestError: 400; no JSON, no object, or a name that occurs twice in one object.
        RecursionError: nested too deeply.
    """
    if body.startswith(BYTE_ORDER_MARK):
        body = body[len(BYTE_ORDER_MARK) :]
    if (zero := body.find(0)) >= 0:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {zero}")
    try:
        members = _Decoder(number_mode=rapidjson.NM_NAN)(body)
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from None
    except rapidjson.JSONDecodeError as error:
        raise invalid(_parse_error(str(error))) from None
    except ValueError:
        raise invalid(NUMBER_TOO_BIG) from None
    if not isinstance(members, dict):
        raise invalid(f"JSON Value: {shown(members)} Is not object")
    return members


def _parse_error(text: str) -> str:
    offset, message = text.removeprefix("Parse error at offset ").split(": ", maxsplit=1)
    if message.startswith("The document is empty"):
        message = message.rstrip(".")
    place = "" if message.startswith(WITHOUT_OFFSET) else f" at offset: {offset}"
    return f"JSON Parse error: {message}{place}"


def signature_name(members: Mapping[str, Any]) -> str:
    """Return the name of the signature that a request asks for; empty for the default.

    Raises:
        RequestError: 400; the name is no string.
    """
    name = members.get("signature_name", "")
    if not isinstance(name, str):
        sentence = "not formatted correctly. 'signature_name' key must be a string value."
        raise invalid(f"JSON Value: {shown(members)} {sentence}")
    return name


def read_request(members: Mapping[str, Any], inputs: Inputs, guard: InflationGuard) -> dict[str, np.ndarray]:
    """Return the array of each input, from rows ("instances") or columns ("inputs"); strings are objects of type bytes.

    Args:
        members: the request's JSON object.
        inputs: type and shape of each input of the signature, by name.
        guard: limits what the binary inputs inflate to.

    Raises:
        RequestError: 400.
    """
    if "instances" in members and "inputs" in members:
        words = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        raise invalid(f"JSON Value: {shown(members)} {words}")
    if "instances" in members:
        return _rows(members, inputs, guard)
    if "inputs" in members:
        return _columns(members["inputs"], inputs, guard)
    raise invalid("Missing 'inputs' or 'instances' key")


def _columns(value: Any, inputs: Inputs, guard: InflationGuard) -> dict[str, np.ndarray]:
    if not _has_names(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = dict.fromkeys(inputs, value)
    arrays = {}
    for name, spec in inputs.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = read_array(value[name], spec.dtype, guard)
    return arrays


def _rows(members: Mapping[str, Any], inputs: Inputs, guard: InflationGuard) -> dict:
    rows = members["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {shown(members)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {shown(members)} No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _has_names(rows[0])
    for index, row in enumerate(rows):
        if named:
            _check_names(index, row, inputs)
        elif _has_names(row):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
    arrays = {}
    for name, spec in inputs.items():
        values = [row[name] for row in rows] if named else rows
        try:
            arrays[name] = read_array(values, spec.dtype, guard)
        except RequestError as error:
            raise _error_of_row(values, spec.dtype, guard, error, f" key: {name}" if named else "") from None
    return arrays


def _has_names(value: Any) -> bool:
    return isinstance(value, dict) and not is_binary(value)


def _check_names(index: int, row: Any, inputs: Inputs) -> None:
    if not _has_names(row):
        raise invalid(f"Expecting object but got list at item {index} of input list")
    unknown = next((name for name in row if name not in inputs), None)
    if unknown is not None:
        reason = f"INVALID_ARGUMENT: JSON object: does not have named input: {unknown}"
        raise invalid(f"Failed to process element: {index} key: {unknown} of 'instances' list. Error: {reason}")
    if len(row) < len(inputs):
        raise invalid(
            f"Failed to process element: {index} of 'instances' list. JSON object: {shown(row)} "
            f"keys must be equal to: {','.join(sorted(inputs))}"
        )


def _error_of_row(values: list, dtype: tf.DType, guard: InflationGuard, error: RequestError, key: str) -> RequestError:
    """Return the error of the first row that is wrong by itself or differs from the first in shape."""
    if error.status != 400:
        return error
    shape = None
    for index, value in enumerate(values):
        try:
            array = read_array(value, dtype, guard)
            shape = array.shape if shape is None else shape
            if array.size != np.prod(shape):
                raise invalid(f"Expecting tensor size: {int(np.prod(shape))} but got: {array.size}")
            if array.shape != shape:
                expected, got = ("[" + ",".join(map(str, dims)) + "]" for dims in (shape, array.shape))
                raise invalid(f"Expecting shape {expected} but got: {got}")
        except RequestError as reason:
            text = f"Failed to process element: {index}{key} of 'instances' list. "
            return RequestError(reason.status, f"{text}Error: INVALID_ARGUMENT: {reason.message}")
    return error
