"""Answers the body of a predict request; runs in a thread."""

from collections.abc import Callable, Mapping

import tensorflow as tf
from absl import logging

from vxm_tf.serving.rest.body import InflationGuard
from vxm_tf.serving.rest.errors import CLIENT_ERRORS, RequestError, from_graph, invalid
from vxm_tf.serving.rest.requests import parse, read_request, signature_name
from vxm_tf.serving.rest.responses import write_response
from vxm_tf.serving.rest.versions import LoadedVersion, Signature

DEFAULT_SIGNATURE = "serving_default"
TOO_DEEP = "JSON Parse error: The document is nested too deeply."


def predict(find_version: Callable[[], LoadedVersion], body: bytes | bytearray, inflated_limit: int) -> list[bytes]:
    """Return the text of the answer, in pieces.

    Args:
        find_version: function that returns the version to call, or raises `RequestError`.
        body: body of the request.
        inflated_limit: number of bytes that the gzipped binary inputs may inflate to.

    Raises:
        RequestError: the request is wrong, or the server is; the server's own errors are in the log alone.
    """
    try:
        return _predict(find_version, body, inflated_limit)
    except RequestError:
        raise
    except RecursionError:
        raise invalid(TOO_DEEP) from None
    except Exception as error:
        known = from_graph(error)
        if known is None:
            logging.exception("A request failed.")
            raise RequestError(500, "Internal error.") from None
        raise known from None


def _predict(find_version: Callable[[], LoadedVersion], body: bytes | bytearray, inflated_limit: int) -> list[bytes]:
    members = parse(body)
    wanted = signature_name(members)
    signature = find_version().signatures.get(wanted or DEFAULT_SIGNATURE)
    if signature is None:
        raise invalid(f'Serving signature name: "{wanted or DEFAULT_SIGNATURE}" not found in signature def')
    if not signature.inputs or signature.function is None:
        raise invalid(f"Failed to get input map for signature: {wanted or 'DEFAULT'}")
    arrays = read_request(members, signature.inputs, InflationGuard(inflated_limit))
    rows = "instances" in members
    # The parsed request may be far larger than the tensors, and the graph needs the memory.
    del members
    tensors = {name: tf.constant(array, signature.inputs[name].dtype) for name, array in arrays.items()}
    try:
        outputs = signature.function(**tensors)
    except CLIENT_ERRORS:
        _check_axes(tensors, signature)
        raise
    return write_response(outputs, rows)


def _check_axes(tensors: Mapping[str, tf.Tensor], signature: Signature) -> None:
    """Refuse a wrong number of axes, after the graph has failed on it.

    Like TensorFlow Serving, the server lets a graph try; but the error of a graph that does not check its axes names
    only the operation that failed.
    """
    for name, tensor in tensors.items():
        rank = signature.inputs[name].shape.rank
        if rank not in (None, tensor.shape.rank):
            raise invalid(f"Input {name} has {rank} axes; got shape {tensor.shape.as_list()}.")


def refuse_examples(version: LoadedVersion, noun: str) -> RequestError:
    """Return the error for "classification" and "regression", whose signatures belong to `tf.estimator`."""
    signature = version.signatures.get(DEFAULT_SIGNATURE)
    # TensorFlow Serving shows the whole definition, with the names of the graph's nodes.
    names = ", ".join(signature.inputs) if signature else ""
    return invalid(f"No {noun} inputs found in SignatureDef: {names}")
