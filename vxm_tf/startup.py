"""The start of Keras and TensorFlow: which of a user's settings count, and which log lines a command shows."""

import contextlib
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
BACKEND = "KERAS_BACKEND"
ERRORS_ONLY = "2"
ROOT = Path(__file__).resolve().parent.parent
# TensorFlow writes these lines before it obeys its own log level. The error stands for "no GPU here".
NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|To enable the following instructions"
    rb"|[IW]\d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] "
    rb"|.*(failed call to cuInit|Unable to register cu\w+ factory)"
)


def is_command() -> bool:
    """Whether this process is a command of this package, rather than a program that uses it as a library."""
    program = Path(sys.argv[0] if sys.argv else "")
    # While `python -m` imports this package, no other place has the module's name.
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] if "-m" in sys.orig_argv else []
    if program.name.startswith("vxm-") or any(name.startswith("vxm_tf.cli.") for name in module):
        return True
    return program.suffix == ".py" and program.resolve().parent in (ROOT, ROOT / "export")


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Hide the lines that TensorFlow logs while it is imported, in a command, unless TF_CPP_MIN_LOG_LEVEL is 0.

    Everything else on standard error, such as the reason of a crash, is shown once the import has ended. Where the user
    set no level, TensorFlow logs errors alone for the rest of the process.
    """
    if not is_command() or os.environ.setdefault(LOG_LEVEL, ERRORS_ONLY) == "0":
        yield
        return
    try:
        shown = os.dup(2)
    except OSError:
        # Standard error is closed.
        yield
        return
    # A process of its own shows the rest even where the import ends this one.
    child = _start_filter()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(shown, 2)
        os.close(shown)
        if child:
            os.waitpid(child, 0)


def _start_filter() -> int:
    """Send standard error through a process that leaves noise out; return its number, 0 where there is no fork."""
    if not hasattr(os, "fork"):
        return 0
    source, sink = os.pipe()
    child = os.fork()
    if child:
        os.dup2(sink, 2)
        os.close(sink)
        os.close(source)
        return child
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(sink)
        text = b"".join(iter(lambda: os.read(source, 1 << 16), b""))
        os.write(2, b"".join(line for line in text.splitlines(keepends=True) if not NOISE.match(line)))
    finally:
        os._exit(0)


def import_keras() -> None:
    """Import Keras with the settings that this package needs, whatever the user's keras.json holds.

    The backend is TensorFlow unless KERAS_BACKEND names another; floatx and epsilon are Keras's own defaults. Layers
    name their data format themselves. Where a program imported Keras before, its settings stay as they are.

    Raises:
        ImportError: the backend is not installed, or Keras refuses its settings; a command ends with the message.
    """
    if "keras" in sys.modules:
        return
    chosen = os.environ.get(BACKEND)
    if not chosen and importlib.util.find_spec("tensorflow"):
        os.environ[BACKEND] = "tensorflow"
    try:
        import keras
    except (ImportError, ValueError) as error:
        message = _reason(chosen, error)
        if is_command():
            raise SystemExit(f"Error: {message}") from None
        raise ImportError(message) from error
    finally:
        if not chosen:
            os.environ.pop(BACKEND, None)
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


def _reason(backend: str | None, error: Exception) -> str:
    if backend:
        return (
            f"Keras cannot start with the backend {backend!r}, which the environment variable {BACKEND} names "
            f"({error}). Install that backend, or unset {BACKEND} for TensorFlow."
        )
    folder = os.environ.get("KERAS_HOME", "~/.keras")
    return f"Keras cannot start ({error}). Check that TensorFlow is installed, and the settings in {folder}/keras.json."
