"""The JSON document of a request, and what is wrong with one that is none."""

import dataclasses
import json

from vxm_tf.serving.rest.errors import RequestError, invalid
from vxm_tf.serving.rest.json_text import shown

# What `json` says -> what RapidJSON, the parser of TensorFlow Serving, says.
WORDINGS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma, or the end of an object or array.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Extra data": "The document root must not be followed by other values.",
}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclasses.dataclass
class Document:
    """A parsed request.

    Attributes:
        members: of the outermost object.
        has_infinity: the token Infinity or -Infinity occurs; otherwise an infinite number was too large to be read.
    """

    members: dict
    has_infinity: bool = False


def parse(body: bytes) -> Document:
    """The document that a request's body holds.

    Args:
        body: UTF-8.

    Raises:
        RequestError: 400; no JSON, no object, a name that occurs twice in one object.
        RecursionError: nested too deeply.
    """
    document = Document({})

    def constant(token):
        document.has_infinity |= token != "NaN"
        return float(token)

    try:
        text = _text(body)
        members = json.loads(text, parse_constant=constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise invalid(_wording(error)) from None
    except ValueError:
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if not isinstance(members, dict):
        raise invalid(f"JSON Value: {shown(members)} Is not object")
    document.members = members
    return document


def _text(body):
    start = len(BYTE_ORDER_MARK) if body.startswith(BYTE_ORDER_MARK) else 0
    try:
        text = str(memoryview(body)[start:], "utf-8")
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from None
    if not text or text.isspace():
        raise invalid("JSON Parse error: The document is empty")
    return text


def _object(pairs):
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(400, f"JSON Parse error: The name {shown(twice)} occurs twice in one object.")
    return members


def _wording(error):
    offset = len(error.doc[: error.pos].encode("utf-8", "replace"))
    return f"JSON Parse error: {WORDINGS.get(error.msg, error.msg)} at offset: {offset}"
