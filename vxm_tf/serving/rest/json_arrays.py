"""Turns JSON lists into arrays of a signature's types; error messages are those of TensorFlow Serving."""

import base64
from typing import Any

import numpy as np
import rapidjson
import tensorflow as tf

from vxm_tf.serving.rest.body import InflationGuard
from vxm_tf.serving.rest.errors import RequestError, invalid, type_name

# NumPy before 2.0 allows at most this many axes.
MOST_LEVELS = 32
# An error quotes the value that is wrong; a volume in it would be as large as the request.
QUOTED_CHARACTERS = 1000
NUMBER_TOO_BIG = "JSON Parse error: Number too big to be stored in double."
JSON_TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
INTEGERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)
# Python types of the JSON values that each type of tensor takes.
ACCEPTED: dict[tf.DType, set[type]] = {
    **dict.fromkeys((tf.float32, tf.float64), {int, float}),
    **dict.fromkeys(INTEGERS, {int}),
    tf.bool: {bool},
    tf.string: {str, dict},
}


def shown(value: Any) -> str:
    """Return a JSON value for an error message: objects over several lines, lists on one, cut where it gets long.

    Example:
        >>> shown([1, 2.5, None])
        '[1, 2.5, null]'
    """
    text = rapidjson.dumps(value, indent=4, write_mode=rapidjson.WM_SINGLE_LINE_ARRAY, ensure_ascii=False)
    return text if len(text) <= QUOTED_CHARACTERS else text[:QUOTED_CHARACTERS] + "..."


def is_binary(value: Any) -> bool:
    """Return whether a JSON value is `{"b64": "..."}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def read_array(value: Any, dtype: tf.DType, guard: InflationGuard) -> np.ndarray:
    """Return the array of a JSON scalar, or of lists in lists.

    Args:
        value: the parsed JSON value.
        dtype: type of the signature's input.
        guard: limits what the binary inputs inflate to.

    Raises:
        RequestError: 400 where lists are uneven or a value does not suit; 501 for a type that cannot be sent.
    """
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    if dtype not in ACCEPTED:
        raise RequestError(501, f"Conversion of JSON Value: {shown(first)} to type: {type_name(dtype)}")
    if len(shape) > MOST_LEVELS:
        raise invalid(f"Lists are nested {len(shape)} levels deep; at most {MOST_LEVELS} are served.")
    leaves: list[Any] = []
    _collect(value, 0, shape, dtype, leaves)
    array = np.empty(len(leaves), object)
    array[:] = [_bytes(leaf, guard) for leaf in leaves] if dtype == tf.string else leaves
    return (array if dtype == tf.string else _numbers(array, dtype)).reshape(shape)


def _bytes(leaf: str | dict, guard: InflationGuard) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode("utf-8")
    if not is_binary(leaf):
        raise invalid(f"JSON Value: {shown(leaf)} not formatted correctly for base64 data")
    data = _decoded(leaf["b64"])
    guard.check(data)
    return data


def _decoded(text: str) -> bytes:
    """Return the bytes of standard base64, not of its URL-safe form; padding may be missing."""
    for has_white_space in (False, True):
        # White space is rare, and looking for it would copy a large volume.
        text = "".join(text.split()) if has_white_space else text
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            continue
    raise invalid("Unable to base64 decode")


def _numbers(leaves: np.ndarray, dtype: tf.DType) -> np.ndarray:
    if dtype == tf.bool:
        return leaves.astype(bool)
    if dtype.is_integer:
        outside = (leaves < dtype.min) | (leaves > dtype.max)
        if np.any(outside):
            raise _type_error(leaves[np.argmax(outside)], dtype)
        return leaves.astype(dtype.as_numpy_dtype)
    try:
        wide = leaves.astype(np.float64)
    except OverflowError:
        raise invalid(NUMBER_TOO_BIG) from None
    with np.errstate(over="ignore"):
        array = wide.astype(dtype.as_numpy_dtype)
    lost = np.isinf(array) & np.isfinite(wide)
    if np.any(lost):
        value, name = leaves[np.argmax(lost)], type_name(dtype)
        raise invalid(f"Cannot convert JSON value: {value!r} to {name} without loss of precision.")
    return array


def _collect(value: Any, level: int, shape: list[int], dtype: tf.DType, leaves: list[Any]) -> None:
    """Append the scalars of lists in lists, and refuse the first that is wrong, in TensorFlow Serving's order."""
    if level == len(shape):
        if isinstance(value, list):
            raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        if type(value) not in ACCEPTED[dtype]:
            raise _type_error(value, dtype)
        leaves.append(value)
    elif not isinstance(value, list):
        place = f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {len(shape)}"
        raise invalid(f"JSON Value: {shown(value)} {place}")
    elif len(value) != shape[level]:
        size = f"{len(value)} at level: {level} expected size: {shape[level]}"
        raise invalid(f"Encountered list at unexpected size: {size}")
    elif level == len(shape) - 1 and ACCEPTED[dtype].issuperset(map(type, value)):
        # The scalars of one list are checked together, which is fast.
        leaves += value
    else:
        for item in value:
            _collect(item, level + 1, shape, dtype, leaves)


def _type_error(value: Any, dtype: tf.DType) -> RequestError:
    kind = str(value) if isinstance(value, bool) else JSON_TYPES[type(value)]
    return invalid(f"JSON Value: {shown(value)} Type: {kind} is not of expected type: {type_name(dtype)}")
