"""Sends one HTTP request, which may be large, and reads the answer; needs httpx, the extra `client`."""

import dataclasses
import json
import os
import ssl
import urllib.parse
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from vxm_tf.files.errors import InputError
from vxm_tf.serving.client.errors import ServingError, plain
from vxm_tf.serving.client.json_bytes import JsonBody

CONNECT_SECONDS = 30.0
READ_BYTES = 2**18
TOKEN = "VXM_TOKEN"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Called as progress(stage, done, total) with stage "sent" or "received" and counts in bytes.
Progress = Callable[[str, int, int | None], object]


def import_httpx() -> ModuleType:
    """Import httpx, which is needed only for calls by REST.

    Raises:
        InputError: it is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise InputError(f"Calls by REST need httpx ({error}): pip install 'vxm-tf[client]'.") from error
    return httpx


@dataclasses.dataclass(frozen=True)
class Address:
    """The address of a server.

    Attributes:
        url: scheme, host, port and a prefix of every path, such as "http://127.0.0.1:8501/behind/a/proxy".
        scheme: "http" or "https".
        host: name or IP address of the host.
    """

    url: str
    scheme: str
    host: str

    @classmethod
    def of(cls, url: str) -> "Address":
        """Return the address that a text such as "http://127.0.0.1:8501" stands for.

        Raises:
            InputError: another scheme, no host, or more than scheme, host, port and path.
        """
        try:
            parts = urllib.parse.urlsplit(url)
            # Reading the port checks it.
            parts.port  # noqa: B018
        except ValueError as error:
            raise InputError(f"{url!r} is no address ({error}); give one such as http://127.0.0.1:8501.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InputError(f"{url!r} is no address of a server; give one such as http://127.0.0.1:8501.")
        if parts.username is not None:
            raise InputError(f"The address holds a user's name; give a token in the environment variable {TOKEN}.")
        return cls(url.rstrip("/"), parts.scheme, parts.hostname)

    def headers(self) -> dict[str, str]:
        """Return the bearer token of the environment, which is sent over encrypted or local connections only."""
        token = os.environ.get(TOKEN, "").strip()
        private = self.scheme == "https" or self.host in LOOPBACK
        return {"Authorization": f"Bearer {token}"} if token and private else {}


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer of a server.

    Attributes:
        status: HTTP status; 200 if all went well.
        content: body of the answer.
        retry_after: value of the header `Retry-After`, or None.
        reason: phrase that describes the status.
    """

    status: int
    content: bytearray
    retry_after: str | None
    reason: str

    def sentence(self) -> str:
        """Return the server's error message; the status in words if there is none, as in a proxy's page."""
        try:
            return plain(json.loads(self.content)["error"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return f"{self.reason or 'no reason given'}."


def exchange(address: Address, path: str, body: JsonBody | None, seconds: float, progress: Progress) -> Answer:
    """Send a request, POST if it has a body, and return the answer.

    Args:
        address: address of the server.
        path: path below the address.
        body: body of the request, or None.
        seconds: longest silence of the server.
        progress: called with counts of bytes; the total is None if the server does not state it.

    Raises:
        ServingError: the server was silent for too long, or its certificate is not trusted.
        ConnectionError: no connection, one that broke, or an answer that is not HTTP or was cut.
    """
    httpx = import_httpx()
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close", **address.headers()}
    method, content = "GET", None
    if body is not None:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        method, content = "POST", _counted(body, progress)
    settings = {
        "timeout": httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
        # Authorities are the system's, or those of SSL_CERT_FILE; proxies of the environment are not for local servers.
        "verify": ssl.create_default_context() if address.scheme == "https" else False,
        "trust_env": False,
    }
    try:
        with httpx.stream(method, address.url + path, headers=headers, content=content, **settings) as response:
            return _receive(response, progress)
    except httpx.ConnectTimeout:
        raise ConnectionError(f"no connection within {min(CONNECT_SECONDS, seconds):g} s") from None
    except httpx.TimeoutException:
        raise ServingError(
            f"{address.host} was silent for {seconds:g} s. Large volumes and a busy server take longer: raise "
            "timeout_seconds."
        ) from None
    except httpx.TransportError as error:
        raise _failure(address, error) from error


def _counted(body: JsonBody, progress: Progress) -> Iterator[bytes]:
    total, done = len(body), 0
    for piece in body:
        yield piece
        done += len(piece)
        progress("sent", done, total)


def _receive(response: Any, progress: Progress) -> Answer:
    length = response.headers.get("Content-Length")
    content, total = bytearray(), None if length is None else int(length)
    for piece in response.iter_raw(READ_BYTES):
        content += piece
        progress("received", len(content), total)
    return Answer(response.status_code, content, response.headers.get("Retry-After"), response.reason_phrase)


def _failure(address: Address, error: Exception) -> Exception:
    """Return an error that states the root cause, which lies several levels down the chain of exceptions."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ServingError(
                f"{address.url} has a certificate that is not trusted ({cause.verify_message}). Name the file with "
                "its authority in the environment variable SSL_CERT_FILE."
            )
        if isinstance(cause, ConnectionRefusedError):
            return ConnectionRefusedError("nobody listens there")
        cause = cause.__cause__ or cause.__context__
    text = str(error).rstrip(".") or type(error).__name__
    return ConnectionError(f"the answer was cut ({text})" if "complete message body" in text else text)
