"""Receives the body of a request within limits of size and time, and inflates gzip data within a limit."""

import gzip
import io
import zlib
from collections.abc import Iterator

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from vxm_tf.serving.rest.errors import RequestError, invalid

GZIP_MAGIC = b"\x1f\x8b"
MEGABYTE = 1 << 20
# A connection that is closed while the client still sends is reset, and the client never sees the answer.
DRAIN_SECONDS = 2


class RequestBody:
    """Receives the body of one request.

    Args:
        scope: the ASGI scope of the request.
        receive: the ASGI function that returns the next message.

    Attributes:
        complete: whether nothing more will arrive.
    """

    def __init__(self, scope: Scope, receive: Receive):
        self._request = Request(scope, self._receive_and_watch)
        self._receive = receive
        self._begun = False
        self._size = int(self._request.headers.get("content-length", 0))
        self.complete = not self._size and "transfer-encoding" not in self._request.headers

    async def read(self, limit: int, seconds: float) -> bytearray:
        """Return the whole body, inflated if it is gzipped.

        Args:
            limit: largest number of bytes, both as sent and as inflated.
            seconds: time within which the whole body must arrive.

        Raises:
            RequestError: 408, 413, 415, or 400 for a gzip stream that is corrupt.
            ClientDisconnect: the client closed the connection.
        """
        encoding = self._request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("gzip", "identity", ""):
            raise RequestError(415, f"Content-Encoding {encoding} is not understood; send gzip, or no encoding.")
        if self._size > limit:
            raise _too_much("The request's body has", limit)
        body = bytearray()
        try:
            with anyio.fail_after(seconds):
                async for data in self._request.stream():
                    body += data
                    if len(body) > limit:
                        raise _too_much("The request's body has", limit)
        except TimeoutError:
            raise RequestError(408, f"The request did not arrive within {seconds:g} seconds, the limit here.") from None
        if encoding != "gzip":
            return body
        return await anyio.to_thread.run_sync(lambda: bytearray().join(inflate(body, limit, "The request's body")))

    async def drain(self) -> None:
        """Receive and discard the rest of the body for a short time.

        Raises:
            ClientDisconnect: the client closed the connection.
        """
        waits_for_consent = "expect" in self._request.headers and not self._begun
        if not self.complete and not waits_for_consent:
            with anyio.move_on_after(DRAIN_SECONDS):
                async for _ in self._request.stream():
                    pass

    async def _receive_and_watch(self) -> Message:
        self._begun = True
        message = await self._receive()
        self.complete = not message.get("more_body", False)
        return message


def _too_much(words: str, limit: int) -> RequestError:
    return RequestError(413, f"{words} more than {limit / MEGABYTE:g} MB, the limit here.")


def inflate(data: bytes | bytearray, limit: int, name: str) -> Iterator[bytes]:
    """Yield the content of gzip data in pieces of a megabyte, and never more than a limit.

    Args:
        data: gzip data of one or more members.
        limit: largest number of bytes that may come out.
        name: name of the data in error messages.

    Raises:
        RequestError: 413 beyond the limit, 400 for data that are corrupt or truncated.
    """
    size = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while piece := stream.read(MEGABYTE):
                size += len(piece)
                if size > limit:
                    break
                yield piece
    except EOFError:
        raise invalid(f"{name} is truncated: its gzip stream has no end.") from None
    except (zlib.error, gzip.BadGzipFile):
        raise invalid(f"{name} is no valid gzip data: its stream is corrupt.") from None
    if size > limit:
        raise _too_much(f"{name} inflates to", limit)


class InflationGuard:
    """Refuses a request whose binary inputs inflate to more than a limit in total.

    A graph inflates each of them at once, so a few kilobytes could otherwise claim all memory.
    """

    def __init__(self, limit: int):
        self._limit = self._left = limit

    def check(self, data: bytes) -> None:
        """Count the bytes that gzip data inflate to, in constant memory; other data pass.

        Raises:
            RequestError: 413 beyond the limit, 400 for data that are corrupt or truncated.
        """
        if data.startswith(GZIP_MAGIC):
            for piece in inflate(data, self._limit, "A binary input"):
                self._left -= len(piece)
                if self._left < 0:
                    raise _too_much("A binary input inflates to", self._limit)
