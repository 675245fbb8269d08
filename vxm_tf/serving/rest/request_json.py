"""The body of a predict request as the tensors of a signature."""

import dataclasses

import numpy as np
import tensorflow as tf

from vxm_tf.serving.rest.errors import RequestError, invalid
from vxm_tf.serving.rest.json_document import Document
from vxm_tf.serving.rest.json_tensor import TensorReader, is_binary
from vxm_tf.serving.rest.json_text import shown
from vxm_tf.serving.rest.signature import Signature


@dataclasses.dataclass
class Request:
    """What a client asks of a signature.

    Attributes:
        tensors: name of each input -> tensor.
        rows: the request has rows, and the answer will; otherwise columns.
    """

    tensors: dict[str, tf.Tensor]
    rows: bool


def signature_name(document: Document) -> str:
    """Name of the signature that a request asks for; empty for the default.

    Raises:
        RequestError: 400; the name is no string.
    """
    name = document.members.get("signature_name", "")
    if not isinstance(name, str):
        shown_document = shown(document.members)
        raise invalid(
            f"JSON Value: {shown_document} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def read_request(document: Document, signature: Signature, reader: TensorReader) -> Request:
    """The tensors of a request, from its rows ("instances") or its columns ("inputs").

    Args:
        document: with one of the two.
        signature: gives names and types of the inputs.
        reader: of JSON values.

    Raises:
        RequestError: 400, with TensorFlow Serving's words.
    """
    members = document.members
    if "instances" in members and "inputs" in members:
        words = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        raise invalid(f"JSON Value: {shown(members)} {words}")
    if "instances" in members:
        return _rows(members, signature, reader)
    if "inputs" in members:
        return Request(_tensors(_columns(members["inputs"], signature, reader), signature), rows=False)
    raise invalid("Missing 'inputs' or 'instances' key")


def _tensors(arrays, signature):
    return {name: tf.constant(array, signature.inputs[name].dtype) for name, array in arrays.items()}


def check_axes(tensors, signature: Signature):
    """Refuse a wrong number of axes.

    For after the graph has failed: like TensorFlow Serving, the server lets a graph try, but a graph that takes its
    axes for granted speaks of them only in terms of its operations.

    Args:
        tensors: name -> tensor.
        signature: says how many axes they have.

    Raises:
        RequestError: 400.
    """
    for name, tensor in tensors.items():
        rank = signature.inputs[name].shape.rank
        if rank not in (None, tensor.shape.rank):
            raise invalid(f"Input {name} has {rank} axes; got shape {tensor.shape.as_list()}.")


def _columns(value, signature, reader):
    if not isinstance(value, dict) or is_binary(value):
        if len(signature.inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        (name,) = signature.inputs
        value = {name: value}
    arrays = {}
    for name, spec in signature.inputs.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = reader.read(value[name], spec.dtype)
    return arrays


def _rows(members, signature, reader):
    rows = members["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {shown(members)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {shown(members)} No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(signature.inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    read = _named_rows if _is_named(rows[0]) else _plain_rows
    arrays = read(rows, signature, reader)
    return Request(_tensors(arrays, signature), rows=True)


def _is_named(row):
    return isinstance(row, dict) and not is_binary(row)


def _plain_rows(rows, signature, reader):
    for index, row in enumerate(rows):
        if _is_named(row):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
    ((name, spec),) = signature.inputs.items()
    try:
        array = reader.read(rows, spec.dtype)
    except RequestError as error:
        raise _in_row(rows, spec.dtype, reader, error, "") from None
    return {name: array}


def _named_rows(rows, signature, reader):
    for index, row in enumerate(rows):
        _check_names(index, row, signature)
    arrays = {}
    for name, spec in signature.inputs.items():
        values = [row[name] for row in rows]
        try:
            arrays[name] = reader.read(values, spec.dtype)
        except RequestError as error:
            raise _in_row(values, spec.dtype, reader, error, f" key: {name}") from None
    return arrays


def _check_names(index, row, signature):
    if not _is_named(row):
        raise invalid(f"Expecting object but got list at item {index} of input list")
    unknown = next((name for name in row if name not in signature.inputs), None)
    if unknown is not None:
        reason = f"INVALID_ARGUMENT: JSON object: does not have named input: {unknown}"
        raise invalid(f"Failed to process element: {index} key: {unknown} of 'instances' list. Error: {reason}")
    if len(row) < len(signature.inputs):
        raise invalid(
            f"Failed to process element: {index} of 'instances' list. JSON object: {shown(row)} "
            f"keys must be equal to: {','.join(sorted(signature.inputs))}"
        )


def _in_row(values, dtype, reader, error, key):
    """The error of the first row that is wrong by itself or differs from the first in shape."""
    if error.status != 400:
        return error
    shape = None
    for index, value in enumerate(values):
        try:
            array = reader.read(value, dtype)
            shape = array.shape if shape is None else shape
            _check_shape(array, shape)
        except RequestError as reason:
            text = f"Failed to process element: {index}{key} of 'instances' list. "
            return RequestError(reason.status, f"{text}Error: INVALID_ARGUMENT: {reason.message}")
    return error


def _check_shape(array: np.ndarray, shape):
    size = int(np.prod(shape))
    if array.size != size:
        raise invalid(f"Expecting tensor size: {size} but got: {array.size}")
    if array.shape != shape:
        expected, got = ("[" + ",".join(map(str, dims)) + "]" for dims in (shape, array.shape))
        raise invalid(f"Expecting shape {expected} but got: {got}")
