"""Files written whole or not at all."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import extension

NAME_BYTES = 255
"""Longest name of a file in nearly every file system, in bytes of UTF-8."""


def check_output_file(path: str | os.PathLike) -> None:
    """Raise `InputError` unless a file of this name can be written; a missing folder is created."""
    folder, name = Path(path).parent, Path(path).name
    check_output_dir(folder)
    size, most = len(os.fsencode(name)), _longest_name(folder)
    if size > most:
        raise InputError(f"{name}: the name has {size} bytes; in {folder} it may have {most}. Choose a shorter name.")


def _longest_name(folder: Path) -> int:
    try:
        return min(NAME_BYTES, os.pathconf(folder, "PC_NAME_MAX"))
    except (AttributeError, OSError, ValueError):
        return NAME_BYTES


def check_output_dir(directory: str | os.PathLike) -> None:
    """Create a folder if it is missing; raise `InputError` unless files can be written in it."""
    probe = Path(directory) / f".writing-{uuid.uuid4().hex}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{directory}: cannot be written ({error}). Choose another place.") from error


def replace_atomically(path: str | os.PathLike, save: Callable[[str], Any]) -> None:
    """Call `save(temporary)` and rename the temporary file to `path`, so that no partial file is ever visible.

    Args:
        path: the file to write; a missing folder is created, and an existing file is replaced.
        save: function that writes the content to the path it is called with, which has the extension of `path`.

    Raises:
        InputError: the folder or the file cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Writers choose the format by the extension, so the temporary file has it too.
        temporary = str(path.parent / f".writing-{uuid.uuid4().hex}{extension(path) or path.suffix}")
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}). What was there before is untouched.") from error
    finally:
        if temporary and os.path.exists(temporary):
            os.remove(temporary)
