"""CSV in files."""

import csv
import io

from vxm_tf.files.json_file import write_text


def write_csv(path, rows):
    """Write dicts as lines under a heading of all their keys, whole or not at all."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
