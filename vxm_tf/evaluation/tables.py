"""Scores as CSV, JSON and a Markdown table."""

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vxm_tf.evaluation.scores import PairScores
from vxm_tf.files.csv_file import write_csv
from vxm_tf.files.json_file import write_json, write_text

LABEL_COLUMNS = ("dice", "hausdorff95_mm", "mean_surface_mm")
PAIR_COLUMNS = ("fold_fraction", "non_diffeomorphic_volume", "log_jacobian_std", "seconds", "peak_memory_mib")
# Heading, column and number format of each column of the table.
TABLE = (
    ("Dice", "dice", "{:.4f}"),
    ("HD95 mm", "hausdorff95_mm", "{:.2f}"),
    ("surface mm", "mean_surface_mm", "{:.3f}"),
    ("folds %", "fold_fraction", "{:.4%}"),
    ("non-diff. %", "non_diffeomorphic_volume", "{:.4%}"),
    ("SD log J", "log_jacobian_std", "{:.3f}"),
    ("seconds", "seconds", "{:.2f}"),
    ("peak MiB", "peak_memory_mib", "{:.0f}"),
)


def write_tables(directory: str | os.PathLike, scores: list[PairScores], settings: dict[str, Any]) -> str:
    """Write `pairs.csv`, `labels.csv`, `summary.json` and `table.md`; return the table.

    Args:
        directory: folder that the files are written into.
        scores: scores of all pairs and methods.
        settings: settings of the evaluation, recorded in `summary.json`.
    """
    directory = Path(directory)
    summary = summarise(scores)
    table = markdown(summary)
    write_rows(directory, scores)
    write_json(directory / "summary.json", _without_nan({"settings": settings, "methods": summary}))
    write_text(directory / "table.md", table)
    return table


def write_rows(directory: str | os.PathLike, scores: list[PairScores]) -> None:
    """Write `pairs.csv`, one row for each pair, and `labels.csv`, one row for each label of each pair."""
    directory = Path(directory)
    pair_rows = [
        {"moving": s.moving, "fixed": s.fixed, "method": s.method, "labels": s.count("dice")}
        | {c: s.mean(c) for c in LABEL_COLUMNS}
        | {c: getattr(s, c) for c in PAIR_COLUMNS}
        for s in scores
    ]
    label_rows = [
        {"moving": s.moving, "fixed": s.fixed, "method": s.method, "label": label, **values}
        for s in scores
        for label, values in s.labels.items()
    ]
    write_csv(directory / "pairs.csv", pair_rows)
    write_csv(directory / "labels.csv", label_rows)


def summarise(scores: list[PairScores]) -> dict[str, Any]:
    """Summary of each method: number of pairs, mean and standard deviation over pairs, and means of each label.

    `scored` holds the number of pairs behind each mean: those in which the score is defined.
    """
    methods: dict[str, Any] = {}
    for method in dict.fromkeys(s.method for s in scores):
        chosen = [s for s in scores if s.method == method]
        columns = {c: [s.mean(c) for s in chosen] for c in LABEL_COLUMNS}
        columns |= {c: [getattr(s, c) for s in chosen] for c in PAIR_COLUMNS}
        labels = sorted({label for s in chosen for label in s.labels})
        methods[method] = {
            "pairs": len(chosen),
            "mean": {c: _mean(values) for c, values in columns.items()},
            "std": {c: _mean(values, np.std) for c, values in columns.items()},
            "scored": {c: _count(values) for c, values in columns.items()},
            "labels": {
                str(label): {c: _mean([_of_label(s, label, c) for s in chosen]) for c in LABEL_COLUMNS}
                | {"scored": {c: _count([_of_label(s, label, c) for s in chosen]) for c in LABEL_COLUMNS}}
                for label in labels
            },
        }
    return methods


def markdown(summary: dict[str, Any]) -> str:
    """Table with one row for each method: means over pairs, and the standard deviation of Dice in brackets.

    A mean over fewer pairs than the row's has their number beside it, such as n=2.
    """
    lines = ["| method | pairs | " + " | ".join(heading for heading, _, _ in TABLE) + " |"]
    lines.append("| --- | " + " | ".join("---:" for _ in range(len(TABLE) + 1)) + " |")
    for method, row in summary.items():
        cells = [_cell(row["mean"][column], form) for _, column, form in TABLE]
        if not math.isnan(row["std"]["dice"]):
            cells[0] += f" ({row['std']['dice']:.4f})"
        for place, (_, column, _) in enumerate(TABLE):
            if 0 < row["scored"][column] < row["pairs"]:
                cells[place] += f", n={row['scored'][column]}"
        lines.append(f"| {method} | {row['pairs']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _count(values: Iterable[float]) -> int:
    return sum(not math.isnan(value) for value in values)


def _of_label(scores: PairScores, label: int, column: str) -> float:
    return scores.labels.get(label, {}).get(column, math.nan)


def _cell(value: float, form: str) -> str:
    return "–" if math.isnan(value) else form.format(value).replace("%", "")


def _mean(values: Iterable[float], how: Callable[..., Any] = np.mean) -> float:
    defined = [v for v in values if not math.isnan(v)]
    return float(how(defined)) if defined else math.nan


def _without_nan(value: Any) -> Any:
    """A value for JSON, which has no NaN: an undefined number becomes null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
