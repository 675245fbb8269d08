"""One JSON value as the array that a signature's input asks for."""

import base64
from itertools import chain

import numpy as np
import tensorflow as tf

from vxm_tf.serving.rest.errors import RequestError, invalid
from vxm_tf.serving.rest.inflation import InflationGuard
from vxm_tf.serving.rest.json_text import shown

# NumPy before 2.0 has no more axes.
MOST_LEVELS = 32
SERVED_NAMES = {"float32": "float", "float64": "double", "float16": "half"}
JSON_TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
FLOATS = (tf.float32, tf.float64)
INTEGERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)
ACCEPTED = {
    **dict.fromkeys(FLOATS, {int, float}),
    **dict.fromkeys(INTEGERS, {int}),
    tf.bool: {bool},
    tf.string: {str, dict},
}


def type_name(dtype: tf.DType) -> str:
    """TensorFlow Serving's name of a type."""
    return SERVED_NAMES.get(dtype.name, dtype.name)


def is_binary(value) -> bool:
    """Whether a JSON value is `{"b64": "..."}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


class TensorReader:
    """Turns the JSON values of one request into arrays.

    Args:
        guard: checks every binary value.
        has_infinity: the request says Infinity itself; otherwise infinite numbers were too large to be read.
    """

    def __init__(self, guard: InflationGuard, has_infinity: bool = False):
        self.guard = guard
        self.has_infinity = has_infinity

    def read(self, value, dtype: tf.DType) -> np.ndarray:
        """The array of a scalar or of lists in lists.

        Args:
            value: what `json` parsed.
            dtype: of the signature's input.

        Returns:
            An array of `dtype`, of objects of type bytes for strings.

        Raises:
            RequestError: 400 where lists are uneven or a value does not suit, with TensorFlow Serving's words.
        """
        if dtype not in ACCEPTED:
            name = type_name(dtype)
            raise RequestError(501, f"Conversion of JSON Value: {shown(_first(value))} to type: {name}")
        flat = _flatten(value)
        if flat is None or not set(map(type, flat[1])) <= ACCEPTED[dtype]:
            _explain(value, dtype)
        shape, leaves = flat
        if dtype == tf.string:
            return self._strings(leaves, shape)
        return self._numbers(leaves, dtype).reshape(shape)

    def _strings(self, leaves, shape):
        array = np.empty(len(leaves), object)
        for index, leaf in enumerate(leaves):
            array[index] = self._binary(leaf) if isinstance(leaf, dict) else _encoded(leaf)
        return array.reshape(shape)

    def _binary(self, value):
        if not is_binary(value):
            raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
        data = decode_base64(value["b64"])
        self.guard.check(data)
        return data

    def _numbers(self, leaves, dtype):
        if dtype == tf.bool:
            return np.array(leaves, bool)
        if dtype in FLOATS:
            return self._floats(leaves, dtype)
        try:
            wide = np.array(leaves, np.uint64 if dtype == tf.uint64 else np.int64)
        except OverflowError:
            wide = None
        if wide is None or np.any(wide < dtype.min) or np.any(wide > dtype.max):
            raise _type_error(next(leaf for leaf in leaves if not dtype.min <= leaf <= dtype.max), dtype)
        return wide.astype(dtype.as_numpy_dtype)

    def _floats(self, leaves, dtype):
        try:
            wide = np.array(leaves, np.float64)
        except OverflowError:
            raise invalid("JSON Parse error: Number too big to be stored in double.") from None
        if not self.has_infinity and np.any(np.isinf(wide)):
            raise invalid("JSON Parse error: Number too big to be stored in double.")
        with np.errstate(over="ignore"):
            array = wide.astype(dtype.as_numpy_dtype)
        lost = np.isinf(array) & np.isfinite(wide)
        if np.any(lost):
            value = shown(leaves[int(np.argmax(lost))])
            name = type_name(dtype)
            raise invalid(f"Cannot convert JSON value: {value} to {name} without loss of precision.")
        return array


def decode_base64(text: str) -> bytes:
    """Bytes of standard base64; padding may be missing, white space is skipped.

    Raises:
        RequestError: 400 for anything else, the URL-safe alphabet included.
    """
    for candidate in (text, None):
        # White space is rare, and looking for it would copy a large volume.
        candidate = "".join(text.split()) if candidate is None else candidate
        try:
            return base64.b64decode(candidate + "=" * (-len(candidate) % 4), validate=True)
        except ValueError:
            continue
    raise invalid("Unable to base64 decode")


def _encoded(text):
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


def _flatten(value):
    """Shape and leaves of even lists; None if they are uneven, level by level and thus fast."""
    shape, leaves = [], [value]
    while leaves and type(leaves[0]) is list:
        size = len(leaves[0])
        if set(map(type, leaves)) != {list} or set(map(len, leaves)) != {size} or len(shape) == MOST_LEVELS:
            return None
        shape.append(size)
        leaves = list(chain.from_iterable(leaves))
    return tuple(shape), leaves


def _explain(value, dtype):
    """Find what is wrong, in the order in which TensorFlow Serving reads, and raise it."""
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > MOST_LEVELS:
        raise invalid(f"Lists are nested {len(shape)} levels deep; at most {MOST_LEVELS} are served.")
    _walk(value, 0, shape, dtype)
    raise invalid(f"JSON Value: {shown(value)} is no tensor of type: {type_name(dtype)}")


def _walk(value, level, shape, dtype):
    if not isinstance(value, list):
        if level != len(shape):
            place = f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {len(shape)}"
            raise invalid(f"JSON Value: {shown(value)} {place}")
        if type(value) not in ACCEPTED[dtype]:
            raise _type_error(value, dtype)
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _walk(item, level + 1, shape, dtype)


def _type_error(value, dtype):
    kind = str(value) if isinstance(value, bool) else JSON_TYPES[type(value)]
    return invalid(f"JSON Value: {shown(value)} Type: {kind} is not of expected type: {type_name(dtype)}")


def _first(value):
    while isinstance(value, list) and value:
        value = value[0]
    return value
