"""Ablation of `VxmPyramid` and its training: one thing changed at a time, with the same steps and seed.

    python benchmarks/ablation.py --steps 60                 # all rows that are not in the results yet
    python benchmarks/ablation.py --steps 60 --rows untrained "one step a grid"

Every third scan of `brains-2mm/train` is held out from training, and every ordered pair of those is scored; `val` is
not touched. Each row runs in a process of its own, so that the patches of one never reach another. Writes
`benchmarks/results/ablation.json` and `docs/results/ablation.md`.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from contest.labels import BRAIN_LABELS

from vxm_tf.files.json_file import write_json, write_text

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results" / "ablation.json", HERE.parent / "docs" / "results" / "ablation.md"
EVERY = 3


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the ablation: how it differs from the first row of its table.

    Attributes:
        meaning: description in the table.
        network: settings of the network that differ.
        training: settings of `TrainConfig` that differ.
        patch: values that replace constants and functions of the module `vxm_pyramid`, by name.
        trained: whether the network is trained at all.
    """

    meaning: str
    network: dict = dataclasses.field(default_factory=dict)
    training: dict = dataclasses.field(default_factory=dict)
    patch: dict = dataclasses.field(default_factory=dict)
    trained: bool = True


def untrained(meaning, patch=(), **settings):
    return Row(meaning, network=settings, patch=dict(patch), trained=False)


ROWS = {
    # The network before any training: what training starts from, and nearly what it ends with.
    "untrained": untrained("`--preset base`, not trained"),
    "one step a grid": untrained("one step on each grid", iterations=(1, 1, 1)),
    "half the steps": untrained("half the steps on each grid", iterations=(3, 4, 3)),
    "twice the steps": untrained("twice the steps on each grid", iterations=(12, 16, 12)),
    "two grids": untrained("the two finest grids only", features=(16, 24), iterations=(6, 14)),
    "four grids": untrained("a fourth, coarser grid", features=(16, 24, 32, 32), iterations=(6, 8, 6, 6)),
    "no finest grid": untrained("no step on the finest grid", iterations=(0, 8, 6)),
    "window 3": untrained("correlation in boxes of 3 cells", window=3),
    "window 7": untrained("correlation in boxes of 7 cells", window=7),
    "no memory": untrained("each step forgets the forces before", {"MEMORY": 1e-3}),
    "long memory": untrained("memory 0.8", {"MEMORY": 0.8}),
    "half the rate": untrained("rate 0.25", {"RATE": 0.25}),
    "twice the rate": untrained("rate 1", {"RATE": 1.0}),
    "less smooth": untrained("smoothness 0.25", {"SMOOTHNESS": 0.25}),
    "smoother": untrained("smoothness 1", {"SMOOTHNESS": 1.0}),
    # Trained: as the first of these, one thing changed.
    "trained": Row("`--preset base --learning_rate 5e-4 --weight 0.5`"),
    "no correction": Row(
        "rates, memory and smoothness learned, nothing else", patch={"_correct": lambda velocity, *_: velocity}
    ),
    "wider": Row("twice the filters", network={"features": (32, 48, 64)}),
    "weight 0.25": Row("`--weight 0.25`", training={"weight": 0.25}),
    "weight 1": Row("`--weight 1`", training={"weight": 1.0}),
    "one direction": Row("`--nobidirectional`", training={"bidirectional": False}),
    "learning rate 2e-3": Row("`--learning_rate 2e-3`", training={"learning_rate": 2e-3}),
    "flips": Row("`--augmentations flip`", training={"augmentations": ("flip",)}),
    "affine": Row("`--augmentations affine`", training={"augmentations": ("affine",)}),
    "deformation": Row("`--augmentations deformation`", training={"augmentations": ("deformation",)}),
    "intensity": Row("`--augmentations intensity`", training={"augmentations": ("intensity",)}),
    "VxmDense": Row("`--preset fast --learning_rate 1e-3`", training={"preset": "fast", "learning_rate": 1e-3}),
}


def run_row(name, options):
    """Train and score one row; runs in a process of its own."""
    import keras
    import numpy as np

    from vxm_tf.data import image_pair, ordered_pairs, split_scans
    from vxm_tf.data.warping import warp_labels
    from vxm_tf.evaluation.scores import deformation_scores, label_scores
    from vxm_tf.models import from_preset, vxm_pyramid
    from vxm_tf.registration import register_pair
    from vxm_tf.training import TrainConfig, assembly
    from vxm_tf.training.scans import open_store
    from vxm_tf.training.source import ScanSource

    row = ROWS[name]
    settings = {
        "preset": "base",
        "learning_rate": 5e-4,
        "weight": 0.5,
        "orientation": "LIA",
        "spacing_mm": (2.0,),
        **row.training,
    }
    config = TrainConfig(data_dir=options.data_dir, epochs=1, steps_per_epoch=options.steps, seed=0, **settings)
    scans = split_scans(config.data_dir)[0]
    held = scans[EVERY - 1 :: EVERY]
    keras.utils.set_random_seed(config.seed)
    source = ScanSource(config, [scan for scan in scans if scan not in held])
    for part, value in row.patch.items():
        if not hasattr(vxm_pyramid, part):
            raise SystemExit(f"The row {name!r} replaces {part}, which VxmPyramid no longer has.")
        setattr(vxm_pyramid, part, value)
    network = from_preset(config.preset, source.image_shape, **row.network)
    begin = time.perf_counter()
    if row.trained:
        assembly.build_trainer(config, network).fit(source.dataset(0), steps_per_epoch=options.steps, verbose=2)
    minutes = (time.perf_counter() - begin) / 60.0
    store = open_store(config, held, "held-out")
    scores = []
    for moving, fixed in ordered_pairs(len(held), None, 0):
        result = register_pair(network, *image_pair(store, moving, fixed))
        moved = warp_labels(store.labels(moving), result.displacement)
        dice = label_scores(moved, store.labels(fixed), BRAIN_LABELS).values()
        scores.append(
            {
                "dice": float(np.nanmean([label["dice"] for label in dice])),
                **deformation_scores(result.displacement),
                "seconds": result.seconds,
            }
        )
    means = {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}
    means["seconds"] = float(np.median([score["seconds"] for score in scores[1:]]))
    return {
        "steps": options.steps if row.trained else 0,
        "minutes": minutes,
        "parameters": network.count_params(),
        "threads": os.environ.get("OMP_NUM_THREADS", os.cpu_count()),
        "trained_on": len(scans) - len(held),
        "pairs": len(scores),
        "mean": means,
        "dice": [score["dice"] for score in scores],
    }


def page(results):
    """Text of `docs/results/ablation.md`."""
    first = next(iter(results.values()))
    pairs, brains = first["pairs"], first["trained_on"]
    text = (
        "# Ablation\n\n"
        f"One thing changed at a time, the same seed, scored on the {pairs} ordered pairs of every third brain of\n"
        f"`brains-2mm/train`; the other {brains} are for training, and no choice used `val`. The difference is to the\n"
        "first row of each table, pair by pair. Rows ran side by side: their seconds compare only roughly. Written by\n"
        "`python benchmarks/ablation.py`.\n"
    )
    for title, trained in (("The network, before training", False), ("Its training", True)):
        rows = {name: result for name, result in results.items() if ROWS[name].trained == trained}
        if rows:
            steps = next(iter(rows.values()))["steps"]
            text += f"\n## {title}{f', {steps} steps' if trained else ''}\n\n{table(rows)}"
    return text


def table(rows):
    """Markdown table of rows that are compared with the first of them."""
    headings = ("Dice", "difference", "better on", "non-diff. %", "SD log J", "parameters", "minutes", "s a pair")
    lines = [f"| what changed | {' | '.join(headings)} |", "| --- |" + " ---: |" * len(headings)]
    first = next(iter(rows.values()))
    for name, result in rows.items():
        mean = result["mean"]
        gains = [own - base for own, base in zip(result["dice"], first["dice"])]
        cells = [
            ROWS[name].meaning,
            f"{mean['dice']:.4f}",
            f"{sum(gains) / len(gains):+.4f}",
            f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
            f"{100 * mean['non_diffeomorphic_volume']:.4f}",
            f"{mean['log_jacobian_std']:.3f}",
            f"{result['parameters']}",
            f"{result['minutes']:.1f}" if ROWS[name].trained else "",
            f"{mean['seconds']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", default=str(HERE.parents[1] / "shared" / "data" / "brains-2mm"))
    parser.add_argument("--steps", type=int, default=60, help="steps of training for each trained row")
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS), help="rows to run; all by default")
    parser.add_argument(
        "--at_once", type=int, default=1, help="number of rows that run at a time, with equal shares of the cores"
    )
    parser.add_argument("--one", choices=ROWS, help="run this row here and print it as JSON")
    options = parser.parse_args()
    if options.one:
        print("\n" + json.dumps(run_row(options.one, options)))
        return
    done = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    waiting = [name for name in options.rows if done.get(name, {}).get("steps") not in (options.steps, 0)]
    failed = []
    with ThreadPoolExecutor(options.at_once) as pool:
        for future in as_completed([pool.submit(run_alone, name, options) for name in waiting]):
            name, result = future.result()
            if result is None:
                print(f"{name}: ended with an error, see above", flush=True)
                failed.append(name)
                continue
            print(f"{name}: Dice {result['mean']['dice']:.4f}, {result['minutes']:.1f} minutes", flush=True)
            done[name] = result
            done = {row: done[row] for row in ROWS if row in done}
            write_json(RESULTS, done)
            write_text(PAGE, page(done))
    if failed:
        raise SystemExit(f"These rows ended with an error, see above: {', '.join(failed)}.")


def run_alone(name, options):
    """Run a row in a process with its share of the cores; (name, result of `run_row`, or None if it failed)."""
    threads = str(max(1, os.cpu_count() // options.at_once))
    shares = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **dict.fromkeys(shares, threads)}
    command = [sys.executable, __file__, "--one", name, "--steps", str(options.steps), "--data_dir", options.data_dir]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    return name, None if process.returncode else json.loads(process.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
