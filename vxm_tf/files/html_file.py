"""The check of a path for an HTML file."""

import os
from pathlib import Path

from vxm_tf.files.atomic import check_output_file
from vxm_tf.files.errors import InputError


def check_html_output(path: str | os.PathLike) -> None:
    """Raise `InputError` before long work, rather than after it, if no HTML file can be written to `path`."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: a report is one HTML file; give a name that ends in .html.")
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file in it.")
    check_output_file(path)
