"""The body of a request, received within limits of size and time."""

import contextlib

from vxm_tf.serving.rest.deadline import TooLate, within
from vxm_tf.serving.rest.errors import RequestError
from vxm_tf.serving.rest.inflation import MEGABYTE, Inflater

# How long a body that nobody needs is still taken in: a connection that is closed while the client sends is
# reset, and the client never sees why.
DRAIN_SECONDS = 2


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class RequestBody:
    """Receives one body.

    Args:
        scope: of the ASGI connection.
        receive: of the same.
    """

    def __init__(self, scope, receive):
        self.headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self._receive = receive
        self._begun = False
        has_body = int(self.headers.get(b"content-length", 0)) > 0 or b"transfer-encoding" in self.headers
        self.complete = not has_body

    async def read(self, limit: int, seconds: float) -> bytearray:
        """The body, inflated if it is gzipped.

        Args:
            limit: bytes as sent, and as inflated.
            seconds: for all of it to arrive.

        Raises:
            RequestError: 408, 413, 415, or 400 for a gzip stream that is corrupt.
            ClientGone: it will not arrive.
        """
        encoding = self.headers.get(b"content-encoding", "identity").strip().lower()
        if encoding not in ("gzip", "identity", ""):
            raise RequestError(415, f"Content-Encoding {encoding} is not understood; send gzip, or no encoding.")
        if int(self.headers.get(b"content-length", 0)) > limit:
            raise _too_large(limit)
        try:
            return await within(seconds, self._collect(limit, encoding == "gzip"))
        except TooLate:
            raise RequestError(408, f"The request did not arrive within {seconds:g} seconds, the limit here.") from None

    async def drain(self):
        """Take in what is left, for a short time, and forget it."""
        if self.complete or (b"expect" in self.headers and not self._begun):
            return
        with contextlib.suppress(TooLate, ClientGone):
            await within(DRAIN_SECONDS, self._skip())

    async def _collect(self, limit, is_gzip):
        body, size = bytearray(), 0
        inflater = Inflater(limit, "The request's body") if is_gzip else None
        async for data in self._pieces():
            size += len(data)
            if size > limit:
                raise _too_large(limit)
            for piece in inflater.feed(data) if inflater else (data,):
                body += piece
        if inflater:
            inflater.close()
        return body

    async def _skip(self):
        async for _ in self._pieces():
            pass

    async def _pieces(self):
        while not self.complete:
            self._begun = True
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.complete = True
                raise ClientGone
            self.complete = not message.get("more_body", False)
            yield message.get("body", b"")


def _too_large(limit):
    return RequestError(413, f"The request's body has more than {limit / MEGABYTE:g} MB, the limit here.")
