"""What can go wrong in reading a transform, said with the file's name."""

import contextlib
from pathlib import Path

from vxm_tf.files.errors import InputError


@contextlib.contextmanager
def reading(path):
    """Put the file's name before a `InputError` of the block, and turn any other error into one.

    Raises:
        InputError: no such file, or whatever went wrong in the block.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file.")
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read ({type(error).__name__}: {error}). The file may be truncated or damaged, or of "
            "another format than it was taken for; copy it again, or say which format it has."
        ) from error
