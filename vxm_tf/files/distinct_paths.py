"""The check that no output overwrites an input or another output."""

import os
from collections.abc import Mapping
from pathlib import Path

from vxm_tf.files.errors import InputError


def check_distinct(outputs: Mapping[str, str | os.PathLike], inputs: Mapping[str, str | os.PathLike]) -> None:
    """Raise `InputError` if an output is the same file as an input or another output.

    Args:
        outputs: path of each output by its name in messages, such as "--moved"; empty paths are skipped.
        inputs: path of each input by its name in messages; two inputs may be the same file.
    """
    known = {Path(path).resolve(): what for what, path in inputs.items() if path}
    for what, path in outputs.items():
        if not path:
            continue
        other = known.setdefault(Path(path).resolve(), what)
        if other != what:
            raise InputError(f"{what} and {other} are one file, {path}, and one would be lost. Rename {what}.")
