"""Differences between the rows of a comparison and one of them, with intervals over people.

    python benchmarks/contest/differences.py benchmarks/results/contest-2mm

writes `differences.md` and the differences in `contest.json` of a finished comparison anew, from its `pairs.csv`.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import t

from vxm_tf.files.json_file import write_json, write_text

LEVEL = 0.95


def differences(pairs, reference):
    """{row: difference between its Dice and the reference's, with its interval}, for {row: {(moving, fixed): Dice}}."""
    answer = {}
    for name, own in pairs.items():
        if name != reference and reference in pairs:
            gains = {pair: dice - pairs[reference][pair] for pair, dice in own.items()}
            people = {person for pair in gains for person in pair}
            low, high = interval_over_people(gains)
            mean = float(np.mean(list(gains.values())))
            answer[name] = {"mean": mean, "low": low, "high": high, "pairs": len(gains), "people": len(people)}
    return answer


def interval_over_people(values):
    """95 % interval of the mean of {(person, person): value}; (None, None) if leaving one person out leaves no pair.

    The pairs of one person are alike, so what counts is the number of people. The interval is Student's, with people -
    1 degrees of freedom, over the jackknife's pseudo-values: for each person, how much the mean depends on all pairs in
    which that person takes part (Miller, "The jackknife - a review", Biometrika 1974).
    """
    people = sorted({person for pair in values for person in pair})
    count, whole = len(people), np.mean(list(values.values()))
    without = [[value for pair, value in values.items() if person not in pair] for person in people]
    if not all(without):
        return None, None
    pseudo = count * whole - (count - 1) * np.array([np.mean(rest) for rest in without])
    half = t.ppf(0.5 + LEVEL / 2, count - 1) * pseudo.std(ddof=1) / np.sqrt(count)
    return float(pseudo.mean() - half), float(pseudo.mean() + half)


def difference_table(compared, reference):
    """Markdown table of the differences to the reference."""
    lines = [
        f"| Dice beside {reference} | pairs | people | mean difference | 95 % interval over people |",
        "| --- |" + " ---: |" * 4,
    ]
    for name, row in compared.items():
        cells = [name, f"{row['pairs']}", f"{row['people']}", f"{row['mean']:+.4f}", interval_text(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def interval_text(difference):
    """The interval as text; "" where there are too few people for one."""
    low, high = difference["low"], difference["high"]
    return "" if low is None else f"{low:+.4f} to {high:+.4f}"


def read_pairs(folder):
    """{row: {(moving, fixed): mean Dice}} from the `pairs.csv` of a comparison."""
    pairs = {}
    with open(Path(folder) / "pairs.csv", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            pairs.setdefault(row["method"], {})[row["moving"], row["fixed"]] = float(row["dice"])
    return pairs


def main():
    folder = Path(sys.argv[1])
    result = json.loads((folder / "contest.json").read_text())
    compared = differences(read_pairs(folder), result["reference"])
    for name, row in result["methods"].items():
        row["difference"] = compared.get(name)
    write_json(folder / "contest.json", result)
    write_text(folder / "differences.md", difference_table(compared, result["reference"]))


if __name__ == "__main__":
    main()
