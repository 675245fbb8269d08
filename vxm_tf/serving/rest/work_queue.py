"""Runs inferences in threads: a few at a time, some more wait, and the rest is refused."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import anyio

from vxm_tf.files.errors import InputError
from vxm_tf.serving.rest.errors import RequestError


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of a server; a megabyte has 2**20 bytes.

    Attributes:
        workers: number of inferences that run at a time.
        queue: number of requests that may be received or wait beside those that run.
        max_request_mb: largest body of a request in megabytes, as sent and as inflated.
        max_inflated_mb: megabytes that all gzipped binary inputs of a request may inflate to.
        request_seconds: time for a client to send a body, and to take each megabyte of an answer.
        answer_seconds: time for an inference, waiting included.
    """

    workers: int = 1
    queue: int = 16
    max_request_mb: float = 256
    max_inflated_mb: float = 1024
    request_seconds: float = 60
    answer_seconds: float = 600

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = {"queue": 0, "workers": 1}.get(name)
            if (value <= 0) if least is None else (value < least):
                bound = "more than 0" if least is None else f"at least {least}"
                raise InputError(f"{name} must be {bound}; got {value}.")


class WorkQueue:
    """Runs functions in threads for one event loop.

    Args:
        workers: number of functions that run at a time.
        waiting: number of further requests that are admitted.

    Attributes:
        taken: number of places held by requests, and by work whose request was given up.
    """

    def __init__(self, workers: int, waiting: int):
        self._places = workers + waiting
        self.taken = 0
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="inference")

    @contextlib.contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place from before a body is received until the answer is sent, since both take memory.

        Raises:
            RequestError: 503; no place is free.
        """
        if self.taken >= self._places:
            raise RequestError(503, "The server is busy and its queue is full; try again later.", retry_after=1)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def run(self, function: Callable[[], Any], seconds: float) -> Any:
        """Return the result of `function`; the time limit includes waiting for a thread.

        Work that has begun when the time is over cannot be stopped: it keeps its thread, and a place, until it ends.

        Raises:
            RequestError: 504; it took too long.
        """
        work = self._executor.submit(function)
        with anyio.move_on_after(seconds):
            return await asyncio.wrap_future(work)
        self._abandon(work)
        raise RequestError(504, f"No answer within {seconds:g} seconds, the limit here.")

    def close(self) -> None:
        """Wait for the functions that run, and drop those that wait."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _abandon(self, work: Future) -> None:
        loop = asyncio.get_running_loop()
        self.taken += 1

        def ended(_: Future) -> None:
            # The loop is closed if the server ended meanwhile, and then places matter no more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._give_back)

        work.add_done_callback(ended)

    def _give_back(self) -> None:
        self.taken -= 1
