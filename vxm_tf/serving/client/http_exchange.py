"""One HTTP request and its answer, large ones included, by the standard library."""

import dataclasses
import http.client
import json
import os
import ssl
import urllib.parse

from vxm_tf.serving.client.errors import ServingError, plain

CONNECT_SECONDS = 30.0
READ_BYTES = 2**18
TOKEN = "VXM_TOKEN"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes:
        scheme: "http" or "https".
        host: name or number.
        port: None for the scheme's own.
        path: what goes before every path, "" or "/behind/a/proxy".
    """

    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def of(cls, url: str):
        """From text such as "http://127.0.0.1:8501".

        Raises:
            ValueError: another scheme, no host, or more than scheme, host, port and path.
        """
        try:
            parts = urllib.parse.urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is no address ({error}); give one such as http://127.0.0.1:8501.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is no address of a server; give one such as http://127.0.0.1:8501.")
        if parts.username is not None:
            raise ValueError(f"The address holds a user's name; give a token in the environment variable {TOKEN}.")
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    def headers(self) -> dict:
        """The bearer token of the environment, which goes over encrypted or local connections only."""
        token = os.environ.get(TOKEN, "").strip()
        private = self.scheme == "https" or self.host in LOOPBACK
        return {"Authorization": f"Bearer {token}"} if token and private else {}

    def connect(self, timeout_seconds: float):
        """An open connection; silence of `timeout_seconds` on it is an error.

        Raises:
            OSError: nobody answers there.
        """
        connect_seconds = min(CONNECT_SECONDS, timeout_seconds)
        if self.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=connect_seconds, context=context)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=connect_seconds)
        try:
            connection.connect()
        except TimeoutError:
            connection.close()
            raise ConnectionError(f"no connection within {connect_seconds:g} s") from None
        connection.sock.settimeout(timeout_seconds)
        return connection


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server sent back.

    Attributes:
        status: 200 if all went well.
        content: the body.
        retry_after: that header, or None.
        reason: the status in words.
    """

    status: int
    content: bytearray
    retry_after: str | None
    reason: str

    def sentence(self) -> str:
        """The server's own words on an error; the status in words where it has none, as a proxy's page."""
        try:
            return plain(json.loads(self.content)["error"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return f"{self.reason or 'no reason given'}."


def exchange(address: Address, path: str, body, timeout_seconds: float, progress) -> Answer:
    """Send a request, POST if it has a body, and read the answer.

    Args:
        address: of the server.
        path: from the server's root.
        body: an iterable of bytes with a length, or None.
        timeout_seconds: of silence.
        progress: progress(stage, done, total) with stage "sent" or "received", both counts in bytes; the total is None
            where the server does not tell.

    Raises:
        ServingError: the server was silent for too long.
        OSError: no connection, or one that broke.
        http.client.HTTPException: an answer that is not HTTP or was cut.
    """
    connection = address.connect(timeout_seconds)
    try:
        _send(connection, address, path, body, progress)
        return _receive(connection.getresponse(), progress)
    except TimeoutError:
        raise ServingError(
            f"{address.host} was silent for {timeout_seconds:g} s. Large volumes and a busy server take longer: raise "
            "timeout_seconds."
        ) from None
    finally:
        connection.close()


def _send(connection, address, path, body, progress):
    headers = {"Accept": "application/json", "Connection": "close", **address.headers()}
    if body is None:
        connection.request("GET", address.path + path, headers=headers)
        return
    headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    try:
        connection.request("POST", address.path + path, _counted(body, progress), headers)
    except (BrokenPipeError, ConnectionResetError):
        # A server that refuses may say so before it has read everything; where it has not, reading fails as well.
        return


def _counted(body, progress):
    total, done = len(body), 0
    for piece in body:
        yield piece
        done += len(piece)
        progress("sent", done, total)


def _receive(response, progress):
    content, total = bytearray(), response.length
    while piece := response.read(READ_BYTES):
        content += piece
        progress("received", len(content), total)
    if total is not None and len(content) < total:
        raise http.client.IncompleteRead(b"", total - len(content))
    return Answer(response.status, content, response.getheader("Retry-After"), response.reason)
