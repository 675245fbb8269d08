"""Errors of calls of a served model, and advice on each."""

import re

# Advice by HTTP status.
ADVICE = {
    401: "Give the proxy's token in the environment variable VXM_TOKEN.",
    403: "The token in the environment variable VXM_TOKEN does not allow this call.",
    404: "Check the address, the model's name, and its version or label.",
    413: "A proxy limits how much one request may send; raise client_max_body_size there, or send gzipped files.",
    429: "The server has too many requests; try later, or with more retries.",
    500: "The server's log says more.",
    502: "The proxy does not reach the model server; check that it runs.",
    503: "The server is busy or still loads the model; try later, or with more retries.",
    504: "The proxy waited too long for the model server; raise its time-outs, or try later.",
}
LONGEST = 500


class ServingError(ValueError):
    """A served model gave no answer, or one that cannot be used; the message says what to do.

    Attributes:
        status: HTTP status, or None if no answer came or it could not be understood.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


def refusal(url: str, status: int, sentence: str) -> ServingError:
    """Return the error for an answer whose status is not 200."""
    return ServingError(" ".join(filter(None, [f"{url} answered {status}: {sentence}", ADVICE.get(status)])), status)


def plain(text: str) -> str:
    """Return a server's sentence, with a full stop, and without the names of nodes that TensorFlow puts around it."""
    text = re.split(r"\s*\[\[\{\{", text, maxsplit=1)[0]
    text = re.sub(r"^assertion failed: ", "", text.strip())
    # TensorFlow puts each part of a condition's message into brackets.
    text = re.sub(r"\[([^\[\]]*)\]", r"\1", text) if text.startswith("[") else text
    text = " ".join(text.split())
    text = text if len(text) <= LONGEST else text[:LONGEST] + " ..."
    return text if text.endswith((".", "?", "!")) else text + "."
