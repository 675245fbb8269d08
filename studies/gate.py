"""AUROC of the gate: how well it tells spoiled pairs from clean ones, without labels.

    python -m studies.gate --set val

Ordered pairs of brains at 2 mm are registered by the shipped network as they are, and once for each kind in
`spoiled.KINDS` with the moving image spoiled. AUROC is the probability that a spoiled pair has a higher score than a
clean one, ties counted half; a pair is flagged if its verdict is not `pass`. Measures are kept pair by pair, so the
same command continues an interrupted run; `--again` judges the kept measures without registering anything. Writes
`studies/results/gate.json`, `gate.md` and `gate.png`.
"""

import argparse
import dataclasses
import itertools
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

import vxm_tf  # before tensorflow, for oneDNN
from studies import spoiled
from vxm_tf.data import normalize
from vxm_tf.files.json_file import write_json, write_text
from vxm_tf.models.saved import input_settings, load_model
from vxm_tf.trust.gate.measure_limits import LIMITS
from vxm_tf.trust.gate.measures import measures_of
from vxm_tf.trust.gate.verdict import judged

HERE = Path(__file__).resolve().parent
SEED = 0
CLEAN = "clean"
# Groups that are compared with the clean pairs: all kinds, and all but the flip of a nearly symmetric head.
POOLED = {"all kinds": spoiled.KINDS, "all but the flip of axis 0": [k for k in spoiled.KINDS if k != "flip of axis 0"]}
COLOURS = {"pass": "#4a7a4a", "review": "#c98a1b", "fail": "#b03a2e"}


def load(path, organs):
    with np.load(path) as data:
        return spoiled.Scan(data["vol"].astype("float32"), data["seg"], organs)


def network_for(shape):
    """The shipped network for a shape: (model of its displacement, normalisation of its images)."""
    network = load_model("shipped")
    return network.for_shape(shape).with_outputs("displacement"), input_settings(network)["normalization"]


def measured(model, normalization, moving, fixed):
    """Register two raw images; returns the gate's measures, and the seconds of registering and of measuring."""
    images = [normalize(image[..., None], normalization) for image in (moving, fixed)]
    begin = time.perf_counter()
    answer = model.predict_on_batch({"moving": images[0][None], "fixed": images[1][None]})
    displacement = np.asarray(answer["displacement"][0])
    between = time.perf_counter()
    measures = measures_of(*images, displacement)
    return {"seconds": between - begin, "measuring_seconds": time.perf_counter() - between, "measures": measures}


def rows_of(options, done):
    """Yield a row for every pair and kind that is not in `done`."""
    data = Path(options.data_dir)
    organs = data / "hippocampus" / "images"
    scans = {p.stem: load(p, organs) for p in sorted((data / "brains-2mm" / options.set).glob("*.npz"))}
    network = network_for(next(iter(scans.values())).image.shape)
    pairs = list(itertools.permutations(scans, 2))
    pairs = [pairs[k] for k in np.random.default_rng(SEED).permutation(len(pairs))[: options.pairs or None]]
    for (number, (moving, fixed)), kind in itertools.product(enumerate(pairs), (CLEAN, *spoiled.KINDS)):
        key = {"moving": moving, "fixed": fixed, "kind": kind}
        if any(row.items() >= key.items() for row in done):
            continue
        rng = np.random.default_rng((SEED, number))
        image = scans[moving].image if kind == CLEAN else spoiled.KINDS[kind](scans[moving], rng, number)
        row = {**key, **measured(*network, image, scans[fixed].image)}
        print(f"{number + 1}/{len(pairs)} {moving} -> {fixed} {kind}: {row['seconds']:.1f} s", flush=True)
        yield row


def auroc(spoiled_scores, clean_scores):
    """Probability that a spoiled pair scores higher than a clean one, ties counted half."""
    first, second = np.array(spoiled_scores)[:, None], np.array(clean_scores)
    return float(np.mean((first > second) + 0.5 * (first == second)))


def summary(rows):
    """Numbers of each kind and of each group in `POOLED`."""
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in (CLEAN, *spoiled.KINDS)}
    by_kind |= {name: [row for row in rows if row["kind"] in kinds] for name, kinds in POOLED.items()}
    clean = [row["score"] for row in by_kind[CLEAN]]
    return {kind: _numbers(kind, some, clean) for kind, some in by_kind.items()}


def _numbers(kind, rows, clean):
    scores = [row["score"] for row in rows]
    verdicts = {name: sum(row["verdict"] == name for row in rows) for name in COLOURS}
    return {
        "pairs": len(rows),
        "auroc": None if kind == CLEAN else auroc(scores, clean),
        "flagged": 1.0 - verdicts["pass"] / len(rows),
        **verdicts,
        "median_score": float(np.median(scores)),
        "lowest_score": min(scores),
        "highest_score": max(scores),
    }


def table(numbers):
    """Markdown table of the numbers."""
    lines = ["| | pairs | AUROC | flagged | pass | review | fail | score, median | lowest | highest |"]
    lines.append("| --- |" + " ---: |" * 9)
    for kind, n in numbers.items():
        cells = [kind, n["pairs"], "" if n["auroc"] is None else f"{n['auroc']:.3f}", f"{100 * n['flagged']:.0f} %"]
        cells += [n[name] for name in COLOURS]
        cells += [f"{n[name]:.2f}" for name in ("median_score", "lowest_score", "highest_score")]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def draw(path, rows):
    """Draw the score of each pair as a point, one row for each kind."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    kinds = (CLEAN, *spoiled.KINDS)
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    rng = np.random.default_rng(SEED)
    for verdict, colour in COLOURS.items():
        some = [row for row in rows if row["verdict"] == verdict]
        heights = [kinds.index(row["kind"]) + rng.uniform(-0.25, 0.25) for row in some]
        label = f"{verdict} ({len(some)})"
        axes.scatter([row["score"] for row in some], heights, s=14, color=colour, alpha=0.7, label=label, lw=0)
    for place in (1, 2):
        axes.axvline(place, color="0.5", lw=0.8, ls="--", zorder=0)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set_xlabel("score: 1 is where review begins, 2 where fail does")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    figure.savefig(path, dpi=110)


def environment():
    names = ("keras", "tensorflow", "numpy", "scipy", "scikit-image")
    versions = {"vxm_tf": vxm_tf.__version__, **{name: version(name) for name in names}}
    limits = {
        name: {k: v for k, v in dataclasses.asdict(limit).items() if k != "sentence"} for name, limit in LIMITS.items()
    }
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "seed": SEED,
        "versions": versions,
        "limits": limits,
    }


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data_dir", default=str(HERE.parents[1] / "shared" / "data"), help="folder with all data sets"
    )
    parser.add_argument("--set", choices=("val", "train"), default="val", help="folder of brains-2mm")
    parser.add_argument("--pairs", type=int, default=20, help="number of ordered pairs, drawn at random; 0 for all")
    parser.add_argument("--output", default=str(HERE / "results" / "gate.json"), help="result file")
    parser.add_argument("--again", action="store_true", help="judge the kept measures again, without registering")
    return parser.parse_args()


def main():
    options = parse()
    path = Path(options.output)
    kept = json.loads(path.read_text()) if path.is_file() else {}
    rows = kept.get("pairs", []) if kept.get("set", options.set) == options.set else []
    for row in () if options.again else rows_of(options, rows):
        rows.append(row)
        write_json(path, {"set": options.set, "pairs": rows})
    for row in rows:
        verdict = judged(row["measures"])
        row |= {"verdict": verdict.verdict, "score": verdict.score, "reasons": verdict.reasons}
    numbers = summary(rows)
    result = {"set": options.set, "environment": environment(), "summary": numbers, "pairs": rows}
    write_json(path, result)
    write_text(path.with_suffix(".md"), table(numbers))
    draw(path.with_suffix(".png"), rows)
    print(table(numbers))


if __name__ == "__main__":
    main()
