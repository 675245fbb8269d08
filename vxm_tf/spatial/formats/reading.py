"""What can go wrong in reading a transform, said with the file's name."""

import contextlib
from pathlib import Path

from vxm_tf.files.errors import VolumeError


@contextlib.contextmanager
def reading(path):
    """Put the file's name before a `VolumeError` of the block, and turn any other error into one.

    Raises:
        VolumeError: no such file, or whatever went wrong in the block.
    """
    if not Path(path).is_file():
        raise VolumeError(f"{path}: there is no such file.")
    try:
        yield
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error
    except Exception as error:
        raise VolumeError(
            f"{path}: cannot be read ({type(error).__name__}: {error}). The file may be truncated or damaged, or of "
            "another format than it was taken for; copy it again, or say which format it has."
        ) from error
