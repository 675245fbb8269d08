"""The rows of an earlier comparison, from what it wrote."""

import csv
import itertools
import json

from vxm_tf.evaluation.scores import PairScores
from vxm_tf.evaluation.tables import LABEL_COLUMNS, PAIR_COLUMNS


def earlier_entries(folder):
    """{tool: [(`PairScores`, what was measured)]} from `pairs.csv`, `labels.csv` and `contest.json`."""
    methods = json.loads((folder / "contest.json").read_text())["methods"]
    labels = {key: list(rows) for key, rows in itertools.groupby(_rows(folder / "labels.csv"), _pair)}
    entries = {}
    for row in _rows(folder / "pairs.csv"):
        scored = {int(label["label"]): {c: float(label[c]) for c in LABEL_COLUMNS} for label in labels[_pair(row)]}
        numbers = {column: float(row[column]) for column in PAIR_COLUMNS}
        moving, fixed, method = _pair(row)
        clock = methods[method]["seconds"]
        measured = {"import_seconds": clock["import"], "first_seconds": clock["first"]}
        measured |= {name: numbers[name] for name in ("seconds", "peak_memory_mib")}
        entries.setdefault(method, []).append((PairScores(moving, fixed, method, scored, **numbers), measured))
    return entries


def _rows(path):
    with open(path, newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def _pair(row):
    return row["moving"], row["fixed"], row["method"]
