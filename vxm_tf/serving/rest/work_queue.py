"""Inferences in threads: a few run, some wait, the rest is turned away."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

from vxm_tf.serving.rest.deadline import TooLate, within
from vxm_tf.serving.rest.errors import RequestError


class WorkQueue:
    """Runs functions in threads for one event loop.

    Args:
        workers: how many run at a time.
        waiting: how many more are admitted.

    Attributes:
        taken: places that are held, by requests and by work whose request was given up.
    """

    def __init__(self, workers: int, waiting: int):
        self._places = workers + waiting
        self.taken = 0
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="inference")

    @contextlib.contextmanager
    def admit(self):
        """Hold a place from before a body is received, since bodies take memory, until the answer is sent.

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

    async def run(self, function, seconds: float):
        """What `function` returns, waiting included within the time.

        Work that has begun when the time is over cannot be stopped: it keeps its thread, and a place, until it ends.

        Raises:
            RequestError: 504; it took too long.
        """
        work = self._executor.submit(function)
        try:
            return await within(seconds, asyncio.wrap_future(work))
        except TooLate:
            self._abandon(work)
            raise RequestError(504, f"No answer within {seconds:g} seconds, the limit here.") from None

    def close(self):
        """Wait for what runs, drop what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _abandon(self, work):
        loop = asyncio.get_running_loop()
        self.taken += 1

        def ended(_):
            # The loop is closed if the server ended meanwhile, and then places matter no more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._give_back)

        work.add_done_callback(ended)

    def _give_back(self):
        self.taken -= 1
