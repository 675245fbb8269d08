"""Errors that are sent to the client, and their messages."""

import re

import tensorflow as tf

# HTTP status -> the name that TensorFlow Serving's counters give it.
STATUS_NAMES = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    408: "CANCELLED",
    413: "RESOURCE_EXHAUSTED",
    415: "UNIMPLEMENTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# TensorFlow's text around the message of an operation in a graph.
HEADING = re.compile(r"\AGraph execution error:.*?<stack traces unavailable>\n", re.DOTALL)
ROOTS = re.compile(
    r"\A\s*[0-9]+ root error\(s\) found\.\n\s*\(0\)\s*(?:[A-Z_]+: )?(.*?)(?:\n\s*\([0-9]+\) .*)?\Z", re.DOTALL
)
FUNCTION = re.compile(r"\A\s*\{\{function_node [^}]*\}\}\s*")
PLACE = re.compile(r"\s*\[\[\{\{.*\Z", re.DOTALL)
OPERATION = re.compile(r"\s*\[Op:[^\]]*\]\s*\Z")
# TensorFlow Serving's names of types.
SERVED_NAMES = {"float32": "float", "float64": "double", "float16": "half"}
CLIENT_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.OutOfRangeError,
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,
)


class RequestError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status of the answer.
        message: sentence for the client.
        retry_after: seconds after which the same request may succeed; None where it will not.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


def invalid(message: str) -> RequestError:
    """Return the error for a request that is wrong in itself: 400."""
    return RequestError(400, message)


def type_name(dtype: tf.DType) -> str:
    """Return TensorFlow Serving's name of a type."""
    return SERVED_NAMES.get(dtype.name, dtype.name)


def from_graph(error: Exception) -> RequestError | None:
    """Return the error for the client after a call of a signature raised one.

    Returns:
        None if the fault is not the request's: then the details belong in the log only.
    """
    if isinstance(error, CLIENT_ERRORS):
        return invalid(graph_message(error.message))
    if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
        return RequestError(413, "This request needs more memory than there is; send a smaller one.")
    if isinstance(error, tf.errors.UnimplementedError):
        return RequestError(501, graph_message(error.message))
    return None


def graph_message(text: str) -> str:
    r"""Return the message of an operation without TensorFlow's text on where it happened.

    Example:
        >>> graph_message("assertion failed: [too large]\n\t [[{{node Assert}}]] [Op:__inference_f_1]")
        'assertion failed: [too large]'
    """
    text = HEADING.sub("", text)
    if text.startswith("Graph execution error:"):
        # Traces of a graph that was built in this process; the message is what follows the last of them.
        text = text.rsplit("\n\n", 1)[-1]
    text = ROOTS.sub(r"\1", text)
    return OPERATION.sub("", PLACE.sub("", FUNCTION.sub("", text))).strip()
