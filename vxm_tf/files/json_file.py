"""Reading and writing JSON files, and writing texts."""

import json
import os
from pathlib import Path
from typing import Any

from vxm_tf.files.atomic import check_output_file, replace_atomically
from vxm_tf.files.errors import InputError


def check_json_output(path: str | os.PathLike) -> None:
    """Raise `InputError` before long work, rather than after it, if no JSON file can be written to `path`."""
    if Path(path).suffix.lower() != ".json":
        raise InputError(f"{path}: is written as JSON; give a name that ends in .json.")
    check_output_file(path)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a value as JSON, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text in UTF-8, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    replace_atomically(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def read_json(path: str | os.PathLike) -> Any:
    """Return the value stored in a JSON file.

    Raises:
        InputError: the file is missing, unreadable or damaged.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
