"""Addresses of TensorFlow Serving's REST interface."""

import dataclasses
import re

from vxm_tf.serving.rest.errors import invalid

VERSION = r"(?:/(?:versions/(?P<version>[0-9]+)|labels/(?P<label>[^/:]+)))?"
CALL = re.compile(rf"/v1/models/(?P<model>[^/:]+){VERSION}:(?P<action>classify|regress|predict)", re.IGNORECASE)
ASK = re.compile(rf"/v1/models(?:/(?P<model>[^/:]+))?{VERSION}(?:/(?P<action>metadata))?", re.IGNORECASE)
LARGEST_VERSION = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class Route:
    """What a request is about.

    Attributes:
        model: name of the model.
        action: "predict", "classify", "regress", "metadata" or "status".
        version: number of the version; None for the latest.
        label: of the version; None for none.
    """

    model: str
    action: str
    version: int | None
    label: str | None


def find_route(method: str, path: str) -> Route:
    """The route of a request.

    Args:
        method: of HTTP.
        path: begins with /v1/.

    Raises:
        RequestError: 400, with TensorFlow Serving's words.

    Example:
        >>> find_route("POST", "/v1/models/vxm/labels/stable:predict")
        Route(model='vxm', action='predict', version=None, label='stable')
    """
    match = (CALL if method == "POST" else ASK).fullmatch(path) if method in ("GET", "POST") else None
    if not match:
        raise invalid(f"Malformed request: {method} {path}")
    if not match["model"]:
        raise invalid("Missing model name in request.")
    digits = match["version"]
    if digits and (len(digits) > 19 or int(digits) > LARGEST_VERSION):
        raise invalid(f"Failed to convert version: {digits} to numeric.")
    action = (match["action"] or "status").lower()
    return Route(match["model"], action, int(digits) if digits else None, match["label"])
