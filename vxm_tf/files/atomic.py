"""Files written whole or not at all."""

import os
import uuid
from pathlib import Path

from vxm_tf.files.errors import InputError
from vxm_tf.files.volumes import extension


def check_output_dir(directory):
    """Make a folder; raise `InputError` unless files can be written in it."""
    probe = Path(directory) / f".writing-{uuid.uuid4().hex}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{directory}: cannot be written ({error}). Choose another place.") from error


def replace_atomically(path, save):
    """Call `save(temporary)` and rename the temporary file to `path`, so that no half file is ever seen.

    Raises:
        InputError: if the folder or the disk does not take the file.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because writers choose the format by it.
        temporary = str(path.parent / f".writing-{uuid.uuid4().hex}{extension(path) or path.suffix}")
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}). What was there before is untouched.") from error
    finally:
        if temporary and os.path.exists(temporary):
            os.remove(temporary)
