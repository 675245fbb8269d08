"""From the body of a predict request to the text of its answer; runs in a thread."""

from absl import logging

from vxm_tf.serving.rest.errors import CLIENT_ERRORS, RequestError, from_graph, invalid
from vxm_tf.serving.rest.inflation import InflationGuard
from vxm_tf.serving.rest.json_document import parse
from vxm_tf.serving.rest.json_tensor import TensorReader
from vxm_tf.serving.rest.request_json import check_axes, read_request, signature_name
from vxm_tf.serving.rest.response_json import write_response

DEFAULT_SIGNATURE = "serving_default"
TOO_DEEP = "JSON Parse error: The document is nested too deeply."


def predict(find_version, body: bytes, inflated_limit: int) -> list[bytes]:
    """Answer a request.

    Args:
        find_version: returns the `LoadedVersion` to ask, or raises `RequestError`.
        body: of the request.
        inflated_limit: bytes that its gzipped binary inputs may inflate to.

    Returns:
        Pieces of the answer's text.

    Raises:
        RequestError: whatever is wrong; errors that are no business of the client's are in the log alone.
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


def _predict(find_version, body, inflated_limit):
    document = parse(body)
    wanted = signature_name(document)
    signatures = find_version().signatures
    name = wanted or DEFAULT_SIGNATURE
    if name not in signatures:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    signature = signatures[name]
    if not signature.inputs or signature.function is None:
        raise invalid(f"Failed to get input map for signature: {wanted or 'DEFAULT'}")
    reader = TensorReader(InflationGuard(inflated_limit), document.has_infinity)
    request = read_request(document, signature, reader)
    # What was parsed may be far larger than the tensors; the graph needs the memory.
    del document, reader
    try:
        outputs = signature.function(**request.tensors)
    except CLIENT_ERRORS:
        check_axes(request.tensors, signature)
        raise
    return write_response(outputs, request.rows)


def refuse_examples(find_version, action: str) -> RequestError:
    """The answer to classify and regress, whose signatures belong to `tf.estimator`.

    Raises:
        RequestError: no such version.
    """
    signature = find_version().signatures.get(DEFAULT_SIGNATURE)
    noun = {"classify": "classification", "regress": "regression"}[action]
    # TensorFlow Serving shows the whole definition, with the names of the graph's nodes.
    names = ", ".join(signature.inputs) if signature else ""
    return invalid(f"No {noun} inputs found in SignatureDef: {names}")
