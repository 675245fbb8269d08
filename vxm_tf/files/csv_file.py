"""Writing CSV files."""

import csv
import io
import os
from collections.abc import Collection
from typing import Any

from vxm_tf.files.json_file import write_text


def write_csv(path: str | os.PathLike, rows: Collection[dict[str, Any]]) -> None:
    """Write one line for each dict, below a header line with all their keys, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
