"""No output may take the place of an input, or of another output."""

from pathlib import Path

from vxm_tf.files.errors import InputError


def check_distinct(outputs: dict, inputs: dict):
    """Raise `InputError` if an output is one file with an input or with another output.

    Args:
        outputs: what each is, such as "--moved", to its path; empty paths do not count.
        inputs: likewise; they may be one file.
    """
    known = {Path(path).resolve(): what for what, path in inputs.items() if path}
    for what, path in outputs.items():
        if not path:
            continue
        other = known.setdefault(Path(path).resolve(), what)
        if other != what:
            raise InputError(f"{what} and {other} are one file, {path}, and one would be lost. Rename {what}.")
