"""What a client is told when its request cannot be answered."""

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
# What TensorFlow writes around the message of an operation when it runs a graph.
HEADING = re.compile(r"\AGraph execution error:.*?<stack traces unavailable>\n", re.DOTALL)
ROOTS = re.compile(
    r"\A\s*[0-9]+ root error\(s\) found\.\n\s*\(0\)\s*(?:[A-Z_]+: )?(.*?)(?:\n\s*\([0-9]+\) .*)?\Z", re.DOTALL
)
FUNCTION = re.compile(r"\A\s*\{\{function_node [^}]*\}\}\s*")
PLACE = re.compile(r"\s*\[\[\{\{.*\Z", re.DOTALL)
OPERATION = re.compile(r"\s*\[Op:[^\]]*\]\s*\Z")
CLIENT_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.OutOfRangeError,
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,
)


class RequestError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
        message: for the client.
        retry_after: seconds after which the same request may succeed; None where it will not.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


def invalid(message: str) -> RequestError:
    """The error for a request that is wrong in itself: 400."""
    return RequestError(400, message)


def from_graph(error: Exception) -> RequestError | None:
    """What to tell a client about an error that the model raised.

    Args:
        error: anything that a call of a signature raises.

    Returns:
        The error for the client; None if the fault is not the request's, and nobody's business but the log's.
    """
    if isinstance(error, CLIENT_ERRORS):
        return invalid(graph_message(error.message))
    if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
        return RequestError(413, "This request needs more memory than there is; send a smaller one.")
    if isinstance(error, tf.errors.UnimplementedError):
        return RequestError(501, graph_message(error.message))
    return None


def graph_message(text: str) -> str:
    r"""The message of an operation without TensorFlow's words on where it happened.

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
