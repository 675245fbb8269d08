"""Text of JSON values, laid out as TensorFlow Serving lays it out."""

import math

INDENT = "    "
# An error quotes what arrived; a volume in it would be as large as the request.
QUOTED_CHARACTERS = 1000
# Names from a request are quoted whole, and some are long.
ERROR_CHARACTERS = 2000
ESCAPES = {code: f"\\u{code:04X}" for code in range(0x20)} | {
    ord(character): escape
    for character, escape in {
        '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
    }.items()
}  # fmt: skip


def quoted(text: str) -> str:
    r"""A JSON string.

    Example:
        >>> quoted('2" tall')
        '"2\\" tall"'
    """
    return f'"{text.translate(ESCAPES)}"'


def quoted_bytes(value: bytes) -> bytes:
    """A JSON string of bytes that may be no UTF-8; such bytes stay as they are."""
    return quoted(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def error_text(message: str) -> bytes:
    """The body that carries an error, cut where it gets long."""
    if len(message) > ERROR_CHARACTERS:
        message = message[: ERROR_CHARACTERS - 3] + "..."
    return f'{{\n{INDENT}"error": {quoted(message)}\n}}'.encode("utf-8", "replace")


def shown(value) -> str:
    """A JSON value for an error message: objects over several lines, lists on one, cut where it gets long.

    Args:
        value: what `json` parsed.

    Example:
        >>> shown([1, 2.5, None])
        '[1, 2.5, null]'
    """
    pieces, length = [], 0
    for piece in _pieces(value, 0):
        pieces.append(piece[: QUOTED_CHARACTERS + 1])
        length += len(pieces[-1])
        if length > QUOTED_CHARACTERS:
            return "".join(pieces)[:QUOTED_CHARACTERS] + "..."
    return "".join(pieces)


def _pieces(value, depth):
    if isinstance(value, dict):
        yield from _object_pieces(value, depth)
    elif isinstance(value, list):
        yield "["
        for index, item in enumerate(value):
            yield ", " if index else ""
            yield from _pieces(item, depth + 1)
        yield "]"
    else:
        yield _scalar(value)


def _object_pieces(value, depth):
    yield "{"
    for index, (key, item) in enumerate(value.items()):
        yield ",\n" if index else "\n"
        yield f"{INDENT * (depth + 1)}{quoted(key)}: "
        yield from _pieces(item, depth + 1)
    yield f"\n{INDENT * depth}}}" if value else "}"


def _scalar(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value[: QUOTED_CHARACTERS + 1])
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return _integer(value) if isinstance(value, int) else repr(value)


def _integer(value):
    """Python refuses to write integers of thousands of digits, which a request may hold."""
    return str(value) if value.bit_length() < 4096 else f"{value:#x}"
