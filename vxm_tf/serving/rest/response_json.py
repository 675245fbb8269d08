"""The tensors that a signature returns as JSON text, laid out as TensorFlow Serving lays it out."""

import binascii

import numpy as np
import tensorflow as tf

from vxm_tf.serving.rest.errors import invalid
from vxm_tf.serving.rest.json_tensor import type_name
from vxm_tf.serving.rest.json_text import INDENT, quoted, quoted_bytes
from vxm_tf.serving.rest.number_text import decimal_texts

# Values that are formatted at a time: many, so that the loop in Python is short; few, so that memory is.
BLOCK = 1 << 16
BYTES_SUFFIX = "_bytes"
WHOLE_NUMBERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)


def write_response(outputs: dict[str, tf.Tensor], rows: bool) -> list[bytes]:
    """The text of a response.

    Args:
        outputs: by name.
        rows: of all outputs together; otherwise columns, one for each.

    Returns:
        Pieces of the text, in order, so that nobody need copy hundreds of megabytes into one.

    Raises:
        RequestError: 400; a type that has no JSON, or outputs that cannot be cut into rows.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    outputs = dict(sorted(outputs.items()))
    return _rows(outputs) if rows else _columns(outputs)


def _columns(outputs):
    pieces = [b'{\n    "outputs": ']
    if len(outputs) == 1:
        pieces += TensorText(*outputs.popitem(), single_line=False).pieces(depth=1)
    else:
        pieces += _members(outputs, depth=1, single_line=False)
    return [*pieces, b"\n}"]


def _rows(outputs):
    count = _batch_size(outputs)
    if not count:
        return [b'{\n    "predictions": []\n}']
    pieces = [b'{\n    "predictions": [']
    if len(outputs) == 1:
        pieces += TensorText(*outputs.popitem(), single_line=True).items(depth=1)
    else:
        pieces += _objects(outputs, count)
    return [*pieces, f"\n{INDENT}]\n}}".encode()]


def _batch_size(outputs):
    size = None
    for name, tensor in outputs.items():
        if tensor.shape.rank == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and tensor.shape[0] != size:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {tensor.shape[0]} expecting: {size}")
        size = tensor.shape[0]
    return size


def _objects(outputs, count):
    for index in range(count):
        yield (f",\n{INDENT * 2}" if index else f"\n{INDENT * 2}").encode()
        yield from _members({name: tensor[index] for name, tensor in outputs.items()}, depth=2, single_line=True)


def _members(outputs, depth, single_line):
    yield b"{"
    for index, (name, tensor) in enumerate(outputs.items()):
        yield f"{',' if index else ''}\n{INDENT * (depth + 1)}{quoted(name)}: ".encode()
        yield from TensorText(name, tensor, single_line).pieces(depth + 1)
    yield f"\n{INDENT * depth}}}".encode()


class TensorText:
    """The text of one tensor.

    Args:
        name: of the output; strings are base64 if it ends in "_bytes".
        tensor: of any shape.
        single_line: lists on one line; otherwise one value on each.

    Raises:
        RequestError: 400; the type has no JSON.
    """

    def __init__(self, name: str, tensor: tf.Tensor, single_line: bool):
        self.single_line = single_line
        self.dtype = tensor.dtype
        if not (tensor.dtype in (tf.float32, tf.float64, tf.bool, tf.string) or tensor.dtype in WHOLE_NUMBERS):
            raise invalid(f"Failed to write JSON value for tensor type: {type_name(tensor.dtype)}")
        self.is_bytes = name.endswith(BYTES_SUFFIX)
        self.array = np.asarray(tensor.numpy(), object if tensor.dtype == tf.string else None)

    def pieces(self, depth: int):
        """Yield the text of the tensor where `depth` lists and objects are open."""
        yield from self._array(self.array, depth)

    def items(self, depth: int):
        """Yield the text of what the outermost list holds, without its brackets."""
        _, separator, _ = self._layout(depth)
        yield from self._items(self.array, depth, separator)

    def _array(self, array, depth):
        if array.ndim == 0:
            yield from self._scalar(array.item(), depth)
        elif not len(array):
            yield b"[]"
        else:
            opening, separator, closing = self._layout(depth)
            yield opening.encode()
            yield from self._items(array, depth, separator)
            yield closing.encode()

    def _items(self, array, depth, separator):
        size = array.size // len(array)
        by_item = self.dtype == tf.string or size > BLOCK
        step = 1 if by_item else BLOCK // max(size, 1)
        for start in range(0, len(array), step):
            yield separator.encode() if start else b""
            if by_item:
                yield from self._array(array[start, ...], depth + 1)
            else:
                yield separator.join(self._texts(array[start : start + step], depth)).encode()

    def _texts(self, array, depth):
        """The texts of the items of a list, from the innermost lists outwards."""
        texts = self._numbers(array.ravel())
        for axis in reversed(range(1, array.ndim)):
            size, count = array.shape[axis], int(np.prod(array.shape[:axis]))
            opening, separator, closing = self._layout(depth + axis) if size else ("[", "", "]")
            texts = [opening + separator.join(texts[i * size : (i + 1) * size]) + closing for i in range(count)]
        return texts

    def _numbers(self, values):
        if self.dtype in (tf.float32, tf.float64):
            return decimal_texts(values)
        if self.dtype == tf.bool:
            return ["true" if value else "false" for value in values.tolist()]
        return list(map(str, values.tolist()))

    def _scalar(self, value, depth):
        if self.dtype != tf.string:
            yield self._numbers(np.array([value], self.array.dtype))[0].encode()
        elif self.is_bytes:
            yield f'{{\n{INDENT * (depth + 1)}"b64": "'.encode()
            yield binascii.b2a_base64(value, newline=False)
            yield f'"\n{INDENT * depth}}}'.encode()
        else:
            yield quoted_bytes(value)

    def _layout(self, depth):
        """What opens, separates and closes a list at this depth."""
        if self.single_line:
            return "[", ", ", "]"
        line = "\n" + INDENT * (depth + 1)
        return "[" + line, "," + line, f"\n{INDENT * depth}]"
