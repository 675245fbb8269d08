"""JSON in files."""

import json
from pathlib import Path

from vxm_tf.files.atomic import check_output_dir, replace_atomically
from vxm_tf.files.errors import InputError


def check_json_output(path):
    """Raise `InputError` now if no JSON file could be written there: before long work, not after it."""
    if Path(path).suffix.lower() != ".json":
        raise InputError(f"{path}: is written as JSON; give a name that ends in .json.")
    check_output_dir(Path(path).parent)


def write_json(path, value):
    """Write a value as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path, text: str):
    """Write a text, whole or not at all."""
    replace_atomically(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def read_json(path):
    """The value in a JSON file.

    Raises:
        InputError: unreadable or damaged file.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
