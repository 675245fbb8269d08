"""Naming the file in every error that reading a transform raises."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from vxm_tf.files.diagnosis import absence, stand_in
from vxm_tf.files.errors import InputError


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """Put the file's name before an `InputError` raised in the block, and turn any other error into an `InputError`.

    Raises:
        InputError: missing file, or any error of the block.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: {absence(path)}")
    try:
        yield
    except Exception as error:
        # A reader that finds an empty text says what it expected.
        empty_text = isinstance(error, InputError) and not os.path.getsize(path)
        if (reason := stand_in(path)) and not empty_text:
            raise InputError(f"{path}: cannot be read: {reason}") from error
        if isinstance(error, InputError):
            # Opening a volume names the file already.
            text = str(error)
            raise InputError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from error
        raise InputError(
            f"{path}: cannot be read ({type(error).__name__}: {error}). The file may be truncated or damaged, or of "
            "another format than it was taken for; copy it again, or say which format it has."
        ) from error
