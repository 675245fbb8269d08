"""JSON that holds large byte strings as {"b64": ...}, written piece by piece and read without copies of its text."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

# A multiple of 3, so that no piece but the last is padded.
PIECE_BYTES = 3 * 2**16
LIFTED = re.compile(rb'\{\s*"b64"\s*:\s*"([A-Za-z0-9+/]*={0,2})"\s*\}')


class JsonBody:
    """A JSON text with known length whose byte strings are encoded while it is sent.

    Args:
        value: a value that `json` can write, with bytes anywhere in it.

    Example:
        >>> body = JsonBody({"inputs": {"moving": b"abc"}})
        >>> b"".join(body)
        b'{"inputs":{"moving":{"b64":"YWJj"}}}'
        >>> len(body)
        36
    """

    def __init__(self, value: Any):
        self._parts = list(_parts(value))

    def __len__(self) -> int:
        return sum(len(part) if isinstance(part, bytes) else 4 * -(-len(part) // 3) for part in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            for start in range(0, len(part), PIECE_BYTES):
                yield base64.b64encode(part[start : start + PIECE_BYTES])


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    """Yield JSON text as bytes, and memory views of the content that is to be encoded between them."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        yield from (b'{"b64":"', memoryview(value).cast("B"), b'"}')
    elif isinstance(value, dict):
        for number, (key, entry) in enumerate(value.items()):
            yield (b"," if number else b"{") + json.dumps(str(key)).encode() + b":"
            yield from _parts(entry)
        yield b"}" if value else b"{}"
    else:
        yield json.dumps(value, separators=(",", ":")).encode()


def read_json(text: bytes | bytearray) -> Any:
    """Return the value of a JSON text, each {"b64": ...} in it as bytes.

    Raises:
        ValueError: not JSON, or not base64.

    Example:
        >>> read_json(b'{"outputs": {"moved_bytes": {"b64": "YWJj"}}}')
        {'outputs': {'moved_bytes': b'abc'}}
    """
    lifted: list[bytes] = []
    view = memoryview(text)

    def lift(match: re.Match) -> bytes:
        lifted.append(binascii.a2b_base64(view[slice(*match.span(1))]))
        return b'{"b64":%d}' % (len(lifted) - 1)

    def put_back(entry: dict) -> Any:
        content = entry.get("b64")
        if len(entry) != 1 or not isinstance(content, (int, str)):
            return entry
        return lifted[content] if isinstance(content, int) else base64.b64decode(content, validate=True)

    return json.loads(LIFTED.sub(lift, text), object_hook=put_back)
