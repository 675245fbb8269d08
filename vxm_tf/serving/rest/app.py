"""The ASGI application: addresses, bodies and answers of TensorFlow Serving's REST interface."""

import asyncio
import contextlib
import dataclasses
import time
from functools import partial

from absl import logging

from vxm_tf.serving.rest.deadline import TooLate, within
from vxm_tf.serving.rest.errors import STATUS_NAMES, RequestError
from vxm_tf.serving.rest.inflation import MEGABYTE
from vxm_tf.serving.rest.json_text import error_text
from vxm_tf.serving.rest.limits import Limits
from vxm_tf.serving.rest.metadata import metadata_text, status_text
from vxm_tf.serving.rest.metrics import Metrics
from vxm_tf.serving.rest.prediction import predict, refuse_examples
from vxm_tf.serving.rest.request_body import ClientGone, RequestBody
from vxm_tf.serving.rest.routes import find_route
from vxm_tf.serving.rest.work_queue import WorkQueue

METRICS_PATH = "/monitoring/prometheus/metrics"
# Web pages from anywhere may ask, as with TensorFlow Serving.
CROSS_ORIGIN = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]
JSON = [(b"content-type", b"application/json"), *CROSS_ORIGIN]
NOT_FOUND = b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"


@dataclasses.dataclass
class Answer:
    """What is sent back.

    Attributes:
        status: of HTTP.
        headers: without the length.
        pieces: of the body, in order.
    """

    status: int
    headers: list
    pieces: list[bytes]


class RestApp:
    """Answers HTTP requests about models; call it as ASGI servers do.

    Args:
        models: name -> `Model`.
        limits: what is taken on at a time.
    """

    def __init__(self, models: dict, limits: Limits):
        self.models = models
        self.limits = limits
        self.metrics = Metrics()
        self.queue = WorkQueue(limits.workers, limits.queue)

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        body = RequestBody(scope, receive)
        with contextlib.suppress(ClientGone):
            await self._handle(scope["method"], scope["path"], body, send)

    async def _handle(self, method, path, body, send):
        if not path.lower().startswith("/v1/"):
            await self._send(_page(method, path, self.metrics), body, send)
        elif method == "OPTIONS":
            headers = [*CROSS_ORIGIN, (b"content-type", b"text/html; charset=ISO-8859-1")]
            await self._send(Answer(200, headers, []), body, send)
        else:
            await self._serve(method, path, body, send)

    async def _serve(self, method, path, body, send):
        """Answer what concerns a model, and count it."""
        started, model = time.perf_counter(), ""
        # A place in the queue is held until the answer is sent: answers take memory, too.
        with contextlib.ExitStack() as place:
            try:
                route = find_route(method, path)
                model = route.model if route.model in self.models else ""
                answer = Answer(200, JSON, await self._answer(route, body, place))
            except RequestError as error:
                answer = _refusal(error)
            except (ClientGone, asyncio.CancelledError):
                raise
            except Exception:
                logging.exception("A request failed.")
                answer = _refusal(RequestError(500, "Internal error."))
            self.metrics.record(model, STATUS_NAMES[answer.status], time.perf_counter() - started)
            await self._send(answer, body, send)

    async def _answer(self, route, body, place):
        if route.action == "status":
            return [self._status(route)]
        find_version = partial(self._find_version, route)
        if route.action == "metadata":
            version = find_version()
            definitions = {name: signature.definition for name, signature in version.signatures.items()}
            return [metadata_text(route.model, version.number, definitions)]
        place.enter_context(self.queue.admit())
        content = await body.read(int(self.limits.max_request_mb * MEGABYTE), self.limits.request_seconds)
        if route.action != "predict":
            raise refuse_examples(find_version, route.action)
        inflated = int(self.limits.max_inflated_mb * MEGABYTE)
        return await self.queue.run(partial(predict, find_version, content, inflated), self.limits.answer_seconds)

    def _find_version(self, route):
        if route.model in self.models:
            return self.models[route.model].find(route.version, route.label)
        which = f"Latest({route.model})" if route.version is None else f"Specific({route.model}, {route.version})"
        raise RequestError(404, f"Servable not found for request: {which}")

    def _status(self, route):
        states = self.models[route.model].states() if route.model in self.models else []
        if route.version is not None:
            states = [state for state in states if state[0] == route.version]
        if not states:
            which = "any versions" if route.version is None else f"version {route.version}"
            raise RequestError(404, f"Could not find {which} of model {route.model}")
        return status_text(states)

    async def _send(self, answer, body, send):
        headers = [*answer.headers, (b"content-length", str(sum(map(len, answer.pieces))).encode())]
        if not body.complete:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        for piece in answer.pieces:
            for start in range(0, len(piece), MEGABYTE):
                message = {"type": "http.response.body", "body": piece[start : start + MEGABYTE], "more_body": True}
                await self._send_in_time(send, message)
        await body.drain()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_in_time(self, send, message):
        try:
            await within(self.limits.request_seconds, send(message))
        except TooLate:
            logging.warning("A client took too long to take its answer; the connection is closed.")
            raise ClientGone from None


def _page(method, path, metrics):
    """What is served beside the models."""
    if path == METRICS_PATH and method == "GET":
        return Answer(200, [(b"content-type", b"text/plain")], [metrics.page()])
    return Answer(404, [(b"content-type", b"text/html"), (b"connection", b"close")], [NOT_FOUND])


def _refusal(error):
    headers = list(JSON)
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    return Answer(error.status, headers, [error_text(error.message)])
