"""Collect evaluations of several networks on the same pairs in one table.

    python benchmarks/legacy_table.py EVALUATIONS RESULTS   # two folders; benchmarks/legacy.sh calls it

Writes `RESULTS/table.md`, and the results page.
"""

import json
import shutil
import sys
from pathlib import Path

from results_page import write_page

from vxm_tf.files.json_file import write_text


def main(evaluations, results):
    """Copy each evaluation's `summary.json` and write `table.md`, with the best Dice last."""
    evaluations, results = Path(evaluations), Path(results)
    results.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in evaluations.glob("*/summary.json"):
        name = path.parent.name
        shutil.copy(path, results / f"{name}.json")
        summary = json.loads(path.read_text())
        rows.append((f"`{name}`", summary["settings"]["normalization"], summary["methods"]["network"]))
        affine = summary["methods"]["affine"]
    rows.sort(key=lambda row: row[2]["mean"]["dice"])
    lines = [
        f"| {affine['pairs']} pairs of `brains-1mm/val` | images | Dice, {len(affine['labels'])} labels | folds % | "
        "SD log J | seconds | peak MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        f"| affine alone | | {_dice(affine)} | | | | |",
    ]
    for name, images, row in rows:
        mean = row["mean"]
        lines.append(
            f"| {name} | {images} | {_dice(row)} | {100 * mean['fold_fraction']:.4f} | "
            f"{mean['log_jacobian_std']:.3f} | {mean['seconds']:.2f} | {mean['peak_memory_mib']:.0f} |"
        )
    write_text(results / "table.md", "\n".join(lines) + "\n")
    write_page()


def _dice(row):
    return f"{row['mean']['dice']:.4f} ({row['std']['dice']:.4f})"


if __name__ == "__main__":
    main(*sys.argv[1:])
