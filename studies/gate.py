"""How many wrong registrations the gate finds, over millimetres, and how many sound ones it flags.

    python -m studies.gate_pairs --set val --kinds --cache DIR
    python -m studies.gate --set val --cache DIR

Pairs that `studies.gate_pairs` has registered are judged as they are, with the moving image spoiled
(`studies.spoiled`), and with displacements made wrong by known amounts (`studies.wrong_displacements`). A pair is
flagged if its verdict is not `pass`. "without rest" is the same count without the test of rest. With `--set train` the
limit of unrest is fitted: the geometric mean of the highest value of a sound pair and the lowest of a smooth error of
4 mm rms or of no registration. `--again` judges the kept measures. Adds the set to `studies/results/gate.json`, and
writes `gate.md` and `gate.png` from all sets in it.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np

import vxm_tf  # before tensorflow, for oneDNN
from studies import spoiled, wrong_displacements
from studies.gate_pairs import CLEAN, METHODS, SEED, kept
from studies.wrong_displacements import Answer
from vxm_tf.files.json_file import write_json, write_text
from vxm_tf.trust.gate.measure_limits import LIMITS
from vxm_tf.trust.gate.measures import measures_of
from vxm_tf.trust.gate.verdict import judged

RESULT = Path(__file__).resolve().parent / "results" / "gate.json"
SETS = ("train", "val", "hippocampus-train", "hippocampus", "heads", "lung")
AS_REGISTERED, FRACTION, SMOOTH = "as registered", "fraction of the displacement", "smooth error, mm rms"
FALSE_IDENTITY = {(FRACTION, 0.0), (SMOOTH, 4), ("smooth error, half as wide, mm rms", 4)}
CURVES = (SMOOTH, "shift, mm", "turn, degrees", FRACTION)
COLOURS = dict(zip(SETS, ("#999999", "#1f5a8a", "#cccc99", "#4a7a4a", "#c98a1b", "#b03a2e")))


def rows_of(options: argparse.Namespace, done: list[dict]) -> Iterator[dict]:
    """Yield a row for every pair, kind and amount that is not in `done`."""
    with ThreadPoolExecutor(options.threads) as pool:
        for method in METHODS:
            graded = options.graded
            for number, (*names, kind, answer) in enumerate(kept(options.cache, options.set, method)):
                pair = {"method": method, **dict(zip(("moving", "fixed"), names))}
                jobs = _jobs(answer, kind, (SEED, number), graded > 0, pair, {_key(row) for row in done})
                jobs = (job for job in jobs if _is_wanted(job[0], options.only))
                yield from pool.map(lambda job, answer=answer: _measured(answer, *job), jobs)
                graded -= kind == CLEAN


def _jobs(
    answer: Answer, kind: str, seed: tuple[int, int], graded: bool, pair: dict, known: set[tuple]
) -> Iterator[tuple[dict, np.ndarray]]:
    """Yield (beginning of a row, displacement to judge)."""
    for name, amount, displacement in wrong_displacements.all_of(answer, seed):
        row = {**pair, "kind": name if kind == CLEAN else kind, "amount": amount}
        if _key(row) not in known:
            yield row, displacement
        if kind != CLEAN or not graded:
            return


def _measured(answer: Answer, row: dict, displacement: np.ndarray) -> dict:
    start = time.thread_time()
    measures = measures_of(answer.moving, answer.fixed, displacement, spacing_mm=answer.linear)
    measures = {key: round(value, 4) for key, value in measures.items()}
    return {**row, "seconds": round(time.thread_time() - start, 2), "measures": measures}


def _is_wanted(row: dict, only: list[str]) -> bool:
    return not only or f"{row['kind']}={row['amount']:g}" in only


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in ("method", "moving", "fixed", "kind", "amount"))


def judge_again(row: dict) -> dict:
    """The row with the verdict of its measures, with and without the test of rest."""
    verdict, old = judged(row["measures"]), judged({**row["measures"], "unrest": 0.0})
    return {**row, "verdict": verdict.verdict, "score": round(verdict.score, 3), "without_rest": old.verdict}


def summary(rows: list[dict]) -> list[dict]:
    """Counts for each method, kind and amount, in the order of the rows."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["kind"], row["amount"]), []).append(row)
    return [_numbers(*key, some) for key, some in groups.items()]


def _numbers(method: str, kind: str, amount: float, rows: list[dict]) -> dict:
    unrest = [row["measures"]["unrest_mm"] for row in rows if "unrest_mm" in row["measures"]]
    return {
        "method": method,
        "kind": kind,
        "amount": amount,
        "pairs": len(rows),
        "flagged": sum(row["verdict"] != "pass" for row in rows),
        "failed": sum(row["verdict"] == "fail" for row in rows),
        "flagged_without_rest": sum(row["without_rest"] != "pass" for row in rows),
        "unrest_mm": [round(float(value), 2) for value in (np.min(unrest), np.median(unrest), np.max(unrest))],
    }


def fitted_limit(rows: list[dict]) -> dict:
    """The limit of unrest that separates sound registrations from wrong ones."""
    sound = max(row["measures"]["unrest"] for row in rows if row["kind"] == AS_REGISTERED)
    wrong = min(row["measures"]["unrest"] for row in rows if (row["kind"], row["amount"]) in FALSE_IDENTITY)
    return {"highest_sound": sound, "lowest_wrong": wrong, "between": round(float(np.sqrt(sound * wrong)), 3)}


def table(sets: dict[str, dict]) -> str:
    """Markdown tables of the counts, one for each set."""
    lines = []
    for name, result in sets.items():
        lines += [f"## {name}", ""]
        lines.append(
            "| registered by | kind | amount | flagged | fail | flagged without rest | mm: least, median, most |"
        )
        lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
        for n in result["summary"]:
            amount = (
                ""
                if n["kind"] == AS_REGISTERED or n["kind"] in spoiled.KINDS | spoiled.MISPLACED
                else f"{n['amount']:g}"
            )
            counts = f"{n['flagged']} of {n['pairs']} | {n['failed']} | {n['flagged_without_rest']}"
            unrest = ", ".join(f"{value:.2f}" for value in n["unrest_mm"])
            lines.append(f"| {n['method']} | {n['kind']} | {amount} | {counts} | {unrest} |")
        lines.append("")
    return "\n".join(lines)


def draw(path: Path, sets: dict[str, dict]) -> None:
    """Draw the share of flagged pairs over the amount of each error."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(8, 5.6), layout="constrained", sharey=True)
    for panel, kind in zip(panels.flat, CURVES, strict=True):
        for name, result in sets.items():
            method = next(n["method"] for n in result["summary"])
            some = [n for n in result["summary"] if n["kind"] in (kind, AS_REGISTERED) and n["method"] == method]
            right = 1.0 if kind == FRACTION else 0.0
            points = sorted(
                (right if n["kind"] == AS_REGISTERED else n["amount"], 100 * n["flagged"] / n["pairs"]) for n in some
            )
            pairs = next(n["pairs"] for n in some)
            if len(points) > 1:
                panel.plot(*zip(*points), "o-", ms=3.5, color=COLOURS[name], label=f"{name} ({pairs})")
            old = sorted(
                (right if n["kind"] == AS_REGISTERED else n["amount"], 100 * n["flagged_without_rest"] / n["pairs"])
                for n in some
            )
            if name == "val":
                panel.plot(*zip(*old), ":", color=COLOURS[name], label="val, without the test of rest")
        panel.set_xlabel(kind)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[:, 0]:
        panel.set_ylabel("flagged, %")
    panels[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def environment() -> dict:
    names = ("keras", "tensorflow", "numpy", "scipy", "scikit-image")
    limits = {name: [limit.usual, limit.review, limit.fail] for name, limit in LIMITS.items()}
    versions = {"vxm_tf": vxm_tf.__version__, **{name: version(name) for name in names}}
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "seed": SEED,
        "versions": versions,
        "limits": limits,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="val", help="pairs to judge")
    parser.add_argument("--cache", type=Path, default=None, help="folder of `studies.gate_pairs`")
    parser.add_argument("--graded", type=int, default=20, help="number of pairs of each method that are made wrong")
    parser.add_argument("--only", nargs="*", default=[], help="measure only these, each as kind=amount; all if none")
    parser.add_argument("--threads", type=int, default=2, help="number of pairs to measure at once")
    parser.add_argument("--output", type=Path, default=RESULT, help="result file")
    parser.add_argument("--again", action="store_true", help="judge the kept measures again, without measuring")
    return parser.parse_args()


def main() -> None:
    options = parse()
    kept_result = json.loads(options.output.read_text()) if options.output.is_file() else {}
    sets = kept_result.get("sets", {})
    rows = sets.get(options.set, {}).get("pairs", [])
    for row in () if options.again else rows_of(options, rows):
        rows.append(row)
        print(*_key(row), row["measures"]["unrest_mm"], row["seconds"], flush=True)
    sets[options.set] = {"pairs": rows}
    for name in sets:
        judged_rows = [judge_again(row) for row in sets[name]["pairs"]]
        sets[name] = {"summary": summary(judged_rows), "pairs": judged_rows}
        if name == "train":
            sets[name]["limit_of_unrest"] = fitted_limit(judged_rows)
    sets = {name: sets[name] for name in SETS if name in sets}
    write_json(options.output, {"environment": environment(), "sets": sets})
    write_text(options.output.with_suffix(".md"), table(sets))
    draw(options.output.with_suffix(".png"), sets)
    print(table({options.set: sets[options.set]}))
    print(sets[options.set].get("limit_of_unrest", ""))


if __name__ == "__main__":
    main()
