"""Starts and stops the server."""

import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType

from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.serving.rest.app import RestApp
from vxm_tf.serving.rest.served_models import Model, Watcher
from vxm_tf.serving.rest.work_queue import Limits

DEFAULT_LIMITS = Limits()


class RestServer:
    """Serves models over HTTP, in a thread of its own.

    Args:
        models: at least one model; each has a name of its own.
        host: address to listen on.
        port: port to listen on; 0 for any that is free.
        limits: limits of the server.
        poll_seconds: seconds between two checks for new versions.

    Attributes:
        port: the port that the server listens on.

    Raises:
        InputError: uvicorn is not installed, or the server cannot listen on that address.
    """

    def __init__(
        self,
        models: Sequence[Model],
        *,
        host: str = "127.0.0.1",
        port: int = 8501,
        limits: Limits = DEFAULT_LIMITS,
        poll_seconds: float = 1.0,
    ):
        uvicorn = _import_uvicorn()
        self.app = RestApp({model.name: model for model in models}, limits)
        self._socket = listen(host, port)
        self.port = self._socket.getsockname()[1]
        self._watcher = Watcher(models, poll_seconds)
        config = uvicorn.Config(
            self.app,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            ws="none",
            timeout_graceful_shutdown=int(limits.request_seconds + limits.answer_seconds) + 1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> "RestServer":
        """Begin to answer requests, also those that arrived since the server was made."""
        self._thread.start()
        self._watcher.start()
        return self

    def stop(self) -> None:
        """Finish the requests that run, and end."""
        self._server.should_exit = True
        self._thread.join()
        self._watcher.stop()
        self.app.queue.close()

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM; a second signal ends at once. Call it in the main thread."""
        ended = threading.Event()
        before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.start()
            # Without a timeout, no signal would be handled while waiting on some systems.
            while not ended.wait(1.0) and self._thread.is_alive():
                pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        logging.info("Finishing the requests that run.")
        self.stop()

    def __enter__(self) -> "RestServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
        with suppress(OSError):
            self._socket.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        InputError: the port is taken or no port, or the host is not this machine's.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"A port is a number from 0 to 65535; got {port}.")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{host}:{port}: cannot listen there ({reason}). Give another --port or --host.") from None


def _import_uvicorn() -> ModuleType:
    try:
        import uvicorn
    except ImportError:
        raise InputError('The server needs uvicorn: pip install "vxm-tf[serve]".') from None
    return uvicorn
