"""Compressed data from clients: inflated as a stream, and never beyond a limit."""

import zlib

from vxm_tf.serving.rest.errors import RequestError, invalid

MAGIC = b"\x1f\x8b"
PIECE = 1 << 16
MEGABYTE = 1 << 20


class Inflater:
    """Inflates a gzip stream that arrives in pieces, of one or more members.

    Args:
        limit: bytes that may come out.
        name: what is inflated, for messages.
    """

    def __init__(self, limit: int, name: str):
        self.limit = limit
        self.name = name
        self.size = 0
        self._member = None
        self._finished = False

    def feed(self, data):
        """Yield what `data` inflates to, in pieces of at most a megabyte.

        Raises:
            RequestError: 413 beyond the limit, 400 for what is no gzip.
        """
        while data:
            if self._member is None and not self._begin(data):
                return
            try:
                piece = self._member.decompress(data, MEGABYTE)
            except zlib.error:
                raise self._corrupt() from None
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if self._member.eof:
                self._member, self._finished = None, True
            yield self._counted(piece)

    def close(self):
        """Raise `RequestError` with 400 if the stream ended too early."""
        if self._member is not None or not self._finished:
            raise invalid(f"{self.name} is truncated: its gzip stream has no end.")

    def _begin(self, data):
        """Start a member; False for the zeros with which some programs fill the last block."""
        if self._finished and not bytes(data).strip(b"\0"):
            return False
        self._member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        return True

    def _counted(self, piece):
        self.size += len(piece)
        if self.size > self.limit:
            raise RequestError(413, f"{self.name} inflates to more than {self.limit / MEGABYTE:g} MB, the limit here.")
        return piece

    def _corrupt(self):
        return invalid(f"{self.name} is no valid gzip data: its stream is corrupt.")


class InflationGuard:
    """Refuses binary inputs of one request that inflate to more than a limit in all.

    A graph inflates them in one go, so a few kilobytes could otherwise claim all memory.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._left = limit

    def check(self, data: bytes):
        """Inflate `data` if it is gzip, only to count; the memory that this takes is constant.

        Raises:
            RequestError: 413 beyond the limit, 400 for data that are corrupt or truncated.
        """
        if not data.startswith(MAGIC):
            return
        inflater = Inflater(self.limit, "A binary input")
        inflater.size = self.limit - self._left
        view = memoryview(data)
        for start in range(0, len(data), PIECE):
            for _ in inflater.feed(view[start : start + PIECE]):
                pass
        inflater.close()
        self._left = self.limit - inflater.size
