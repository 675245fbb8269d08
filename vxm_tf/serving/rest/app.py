"""The ASGI application: addresses and answers of TensorFlow Serving's REST interface."""

import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import anyio
from absl import logging
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route, Router
from starlette.types import Message, Receive, Scope, Send

from vxm_tf.serving.rest.body import MEGABYTE, RequestBody
from vxm_tf.serving.rest.errors import STATUS_NAMES, RequestError, invalid
from vxm_tf.serving.rest.prediction import predict, refuse_examples
from vxm_tf.serving.rest.responses import write_error, write_metadata, write_status
from vxm_tf.serving.rest.served_models import Model
from vxm_tf.serving.rest.versions import LoadedVersion
from vxm_tf.serving.rest.work_queue import Limits, WorkQueue

METRICS_PATH = "/monitoring/prometheus/metrics"
SERVED = "/v1/models/{model:model}{version:version}"
# Web pages of any origin may send requests, as with TensorFlow Serving.
CROSS_ORIGIN = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}
OPTIONS_HEADERS = {**CROSS_ORIGIN, "content-type": "text/html; charset=ISO-8859-1"}
NOT_FOUND = b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
LARGEST_VERSION = 2**63 - 1
# Upper bounds of the buckets of latencies, in microseconds: each 1.8 times the one before.
EDGES = [float(f"{10 * 1.8**power:g}") for power in range(33)]


class ModelName(StringConvertor):
    """The name of a model in an address."""

    regex = "[^/:]+"


class VersionOrLabel(StringConvertor):
    """The part of an address that names a version, if there is one."""

    regex = "(?:/versions/[0-9]+|/labels/[^/:]+)?"


register_url_convertor("model", ModelName())
register_url_convertor("version", VersionOrLabel())


class ModelRoute(Route):
    """A route that ignores upper and lower case in an address and takes one method only."""

    def __init__(self, method: str, path: str, endpoint: Callable[..., Awaitable[Response]]):
        super().__init__(path, endpoint)
        self.methods = {method}
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return a match of both address and method, or none; never a partial one."""
        match, child = super().matches(scope)
        return (match, child) if match == Match.FULL else (Match.NONE, {})


class Answer(Response):
    """An answer that is sent in pieces, after which the rest of the request is received and discarded."""

    def __init__(self, pieces: Sequence[bytes], status: int = 200, headers: Mapping[str, str] = CROSS_ORIGIN):
        length = {"content-length": str(sum(map(len, pieces)))}
        super().__init__(None, status, {"content-type": "application/json", **headers, **length})
        self.pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; the connection ends where the request has not arrived completely."""
        body = scope["state"]["body"]
        if not body.complete:
            self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await body.drain()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class RequestCounters:
    """Counts requests by model and status, and the time they take, under TensorFlow Serving's names."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        names = ["model_name", "status"]
        self._count = Counter(":tensorflow:serving:request_count", "Requests.", names, registry=self._registry)
        name, names = ":tensorflow:serving:request_latency", ["model_name", "API", "entrypoint"]
        text = "Microseconds from the request to its answer."
        self._latency = Histogram(name, text, names, buckets=EDGES, registry=self._registry)

    def record(self, model: str, status: str, seconds: float) -> None:
        """Count one request.

        Args:
            model: name of a served model, empty for any other: clients must not make the page grow.
            status: name of the status, such as "OK".
            seconds: time from the headers of the request to its answer.
        """
        self._count.labels(model, status).inc()
        if status == "OK":
            self._latency.labels(model, "", "REST").observe(seconds * 1e6)

    def page(self) -> bytes:
        """Return text for Prometheus; as in TensorFlow Serving, counts have no suffix and whole numbers no point."""
        page = generate_latest(self._registry).replace(b"request_count_total", b"request_count")
        return re.sub(rb"\.0$", b"", page, flags=re.MULTILINE)


class RestApp:
    """Answers HTTP requests about models; call it as ASGI servers do.

    Args:
        models: served models by name.
        limits: limits of the server.
    """

    def __init__(self, models: Mapping[str, Model], limits: Limits):
        self.models = models
        self.limits = limits
        self.queue = WorkQueue(limits.workers, limits.queue)
        self._counters = RequestCounters()
        self._routes = Router(
            [
                ModelRoute("GET", "/v1/models", _refuse_without_name),
                ModelRoute("GET", SERVED, self._status),
                ModelRoute("GET", SERVED + "/metadata", self._metadata),
                ModelRoute("POST", SERVED + ":predict", self._predict),
                ModelRoute("POST", SERVED + ":classify", partial(self._refuse_examples, "classification")),
                ModelRoute("POST", SERVED + ":regress", partial(self._refuse_examples, "regression")),
            ],
            redirect_slashes=False,
            default=_malformed,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["state"] = {"body": RequestBody(scope, receive)}
        with contextlib.suppress(ClientDisconnect):
            answer = self._answer if scope["path"].lower().startswith("/v1/") else self._page(scope)
            await answer(scope, receive, partial(self._send_in_time, send))

    def _page(self, scope: Scope) -> Answer:
        """Return the answer to a request that concerns no model."""
        if (scope["method"], scope["path"]) == ("GET", METRICS_PATH):
            return Answer([self._counters.page()], headers={"content-type": "text/plain"})
        return Answer([NOT_FOUND], 404, {"content-type": "text/html", "connection": "close"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that concerns a model, and count it."""
        if scope["method"] == "OPTIONS":
            return await Answer([], headers=OPTIONS_HEADERS)(scope, receive, send)
        started = time.perf_counter()

        async def count_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                model = scope.get("path_params", {}).get("model")
                status = STATUS_NAMES[message["status"]]
                self._counters.record(model if model in self.models else "", status, time.perf_counter() - started)
            await send(message)

        # A place in the queue is held until the answer is sent: answers take memory, too.
        with contextlib.ExitStack() as scope["state"]["place"]:
            try:
                await self._routes(scope, receive, count_and_send)
            except RequestError as error:
                await _refusal(error)(scope, receive, count_and_send)
            except ClientDisconnect:
                raise
            except Exception:
                logging.exception("A request failed.")
                await _refusal(RequestError(500, "Internal error."))(scope, receive, count_and_send)

    async def _send_in_time(self, send: Send, message: Message) -> None:
        try:
            with anyio.fail_after(self.limits.request_seconds):
                await send(message)
        except TimeoutError:
            logging.warning("A client took too long to take its answer; the connection is closed.")
            raise ClientDisconnect from None

    async def _status(self, request: Request) -> Answer:
        name, (number, _) = request.path_params["model"], _number_and_label(request)
        states = self.models[name].states() if name in self.models else []
        if number is not None:
            states = [state for state in states if state[0] == number]
        if not states:
            which = "any versions" if number is None else f"version {number}"
            raise RequestError(404, f"Could not find {which} of model {name}")
        return Answer(write_status(states))

    async def _metadata(self, request: Request) -> Answer:
        version = self._find_version(request)
        definitions = {name: signature.definition for name, signature in version.signatures.items()}
        return Answer(write_metadata(request.path_params["model"], version.number, definitions))

    async def _predict(self, request: Request) -> Answer:
        body = await self._receive(request)
        work = partial(predict, partial(self._find_version, request), body, int(self.limits.max_inflated_mb * MEGABYTE))
        return Answer(await self.queue.run(work, self.limits.answer_seconds))

    async def _refuse_examples(self, noun: str, request: Request) -> Answer:
        await self._receive(request)
        raise refuse_examples(self._find_version(request), noun)

    async def _receive(self, request: Request) -> bytearray:
        _number_and_label(request)
        request.state.place.enter_context(self.queue.admit())
        return await request.state.body.read(int(self.limits.max_request_mb * MEGABYTE), self.limits.request_seconds)

    def _find_version(self, request: Request) -> LoadedVersion:
        name, (number, label) = request.path_params["model"], _number_and_label(request)
        if name in self.models:
            return self.models[name].find(number, label)
        which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise RequestError(404, f"Servable not found for request: {which}")


def _number_and_label(request: Request) -> tuple[int | None, str | None]:
    """Return number and label of the version that an address names, None where it names none."""
    _, kind, value = (request.path_params["version"] or "//").split("/")
    if kind.lower() != "versions":
        return None, value or None
    if len(value) > 19 or int(value) > LARGEST_VERSION:
        raise invalid(f"Failed to convert version: {value} to numeric.")
    return int(value), None


async def _refuse_without_name(request: Request) -> Answer:
    raise invalid("Missing model name in request.")


async def _malformed(scope: Scope, receive: Receive, send: Send) -> None:
    raise invalid(f"Malformed request: {scope['method']} {scope['path']}")


def _refusal(error: RequestError) -> Answer:
    retry = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return Answer(write_error(error.message), error.status, {**CROSS_ORIGIN, **retry})
