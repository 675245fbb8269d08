"""Client of a served model over HTTP, with httpx and NumPy; no TensorFlow is needed.

Example, where TensorFlow Serving or anything that speaks its REST interface listens:

    client = Client("http://127.0.0.1:8501")
    answer = client.register_nifti(Path("moving.nii.gz").read_bytes(), Path("fixed.nii.gz").read_bytes())
    Path("moved.nii").write_bytes(answer.moved)
"""

import urllib.parse
from typing import Any

from vxm_tf.files.errors import InputError
from vxm_tf.serving.client.errors import ServingError, refusal
from vxm_tf.serving.client.http_exchange import Address, Progress, exchange, import_httpx
from vxm_tf.serving.client.json_bytes import JsonBody, read_json
from vxm_tf.serving.client.registration_calls import RegistrationCalls
from vxm_tf.serving.client.retries import wait

# Statuses for too many requests, no server behind the proxy, a busy or loading server, and a proxy's time-out.
PASSING = (429, 502, 503, 504)


class Client(RegistrationCalls):
    """Calls a model by TensorFlow Serving's REST interface.

    Several threads may share a client: every call has a connection of its own. The token in the environment variable
    `VXM_TOKEN` is sent as bearer token over https and to this machine. Authorities of certificates are the system's,
    or those in the file that `SSL_CERT_FILE` names.

    Args:
        url: address of the server, such as "http://127.0.0.1:8501" or "https://host/behind/a/proxy".
        model: name of the model.
        version: number of the version; the server's choice, the latest, if None.
        label: label of a version, such as "stable", instead of its number.
        timeout_seconds: longest silence of the server, longer than a registration takes.
        retries: number of attempts after the first, on broken connections and on the statuses 429, 502, 503 and 504.
        progress: called as progress(stage, done, total) with stage "sent" or "received" and counts in bytes; the total
            is None if the server does not state it.

    Raises:
        InputError: no address, both version and label, a time-out that is not positive, or httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        model: str = "vxm",
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float = 300.0,
        retries: int = 5,
        progress: Progress | None = None,
    ):
        check_choices(model, version, label, timeout_seconds, retries)
        self._address = Address.of(url)
        import_httpx()
        self._url = url.rstrip("/")
        self._path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
        if version is not None:
            self._path += f"/versions/{version}"
        elif label is not None:
            self._path += f"/labels/{urllib.parse.quote(label, safe='')}"
        self._timeout_seconds = timeout_seconds
        self._retries = retries
        self._progress = progress or (lambda stage, done, total: None)

    def is_available(self) -> bool:
        """Ask once whether the server has the model loaded; the answer does not show whether a label is known.

        Raises:
            ServingError: the server refuses the request because a token is missing.
        """
        try:
            answer = exchange(self._address, self._path, None, self._timeout_seconds, lambda *_: None)
            if answer.status in (401, 403):
                raise refusal(self._url, answer.status, answer.sentence())
            states = [entry["state"] for entry in read_json(answer.content)["model_version_status"]]
            return answer.status == 200 and "AVAILABLE" in states
        except ServingError as error:
            if error.status:
                raise
            return False
        except (OSError, ValueError, LookupError, TypeError):
            return False

    def predict(self, signature: str, inputs: dict[str, Any]) -> Any:
        """Return the outputs of a signature by name: bytes where the server sends base64, else lists and numbers.

        Args:
            signature: name of the signature, as in `vxm_tf.serving.signatures`.
            inputs: value of each input by name; bytes are sent as base64, lists, numbers and strings as they are.

        Returns:
            The outputs by name; the value itself if the signature has a single output, which the server does not name.

        Raises:
            ServingError: no answer, or an error.
        """
        body = JsonBody({"signature_name": signature, "inputs": inputs})
        content = self._call(f"{self._path}:predict", body)
        try:
            return read_json(content)["outputs"]
        except (ValueError, LookupError, TypeError) as error:
            beginning = bytes(content[:60]).decode("utf-8", "replace")
            raise ServingError(
                f"{self._url} answered with what is no JSON object with outputs; it begins with {beginning!r}. Is this "
                "the REST port of a model server (8501), not that of gRPC (8500)?"
            ) from error

    def _call(self, path: str, body: JsonBody) -> bytearray:
        """Return the content of the answer, once its status is 200."""
        attempt = 0
        while True:
            attempt += 1
            last = attempt > self._retries
            try:
                answer = exchange(self._address, path, body, self._timeout_seconds, self._progress)
            except OSError as error:
                failure, retry_after = self._unreachable(error, attempt), None
            else:
                if answer.status == 200:
                    return answer.content
                failure, retry_after = refusal(self._url, answer.status, answer.sentence()), answer.retry_after
                last = last or answer.status not in PASSING
            if last:
                raise failure
            wait(attempt, self._retries, str(failure), retry_after)

    def _unreachable(self, error: OSError, attempts: int) -> ServingError:
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        return ServingError(
            f"{self._url} cannot be reached{tried}: {error}. Check the address, and that the server runs."
        )


def check_choices(model: str, version: int | None, label: str | None, timeout_seconds: float, retries: int) -> None:
    """Raise `InputError` for an impossible choice of model, time-out or retries."""
    if not model:
        raise InputError("The model's name is empty; it is the one in the server's models.config, such as vxm.")
    if version is not None and label is not None:
        raise InputError(f"Give a version or a label, not both; got {version} and {label!r}.")
    if not timeout_seconds > 0:
        raise InputError(f"timeout_seconds is positive; got {timeout_seconds}.")
    if retries < 0:
        raise InputError(f"retries is 0 or more; got {retries}.")
