"""Compare registration tools on the same pairs, in turn, on one machine: accuracy, regularity, seconds, memory.

    python benchmarks/contest/run.py --data_dir ../shared/data/brains-2mm --spacing_mm 2 \
        --network VxmPyramid=models/a.keras --network VxmDense=models/b.keras \
        --output_dir benchmarks/results/contest-2mm

Each tool is a process that waits while another computes, and each pair goes through every tool before the next pair, so
other load on the machine falls on all tools alike. Finished pairs are kept: the same command continues an interrupted
run (import and first seconds are then those of the last start). Networks run alone and with `--refine` steps. A tool
that takes many minutes per pair can be given `--few` pairs, spread over all, and is compared on those. Writes
`pairs.csv`, `labels.csv`, `table.md`, `differences.md`, `accuracy-and-seconds.png` and `contest.json`.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from labels import BRAIN_LABELS
from report import write_report

from vxm_tf.data.warping import warp_labels
from vxm_tf.evaluation import EvaluateConfig
from vxm_tf.evaluation.run_evaluation import find_pairs
from vxm_tf.evaluation.scores import PairScores, deformation_scores, label_scores
from vxm_tf.files.placement import spacing_mm_of
from vxm_tf.files.volumes import read_image, read_labels

HERE = Path(__file__).resolve().parent
PLAIN = ("affine", "demons", "syn-quick", "syn", "greedy")
PACKAGES = ("antspyx", "picsl_greedy", "SimpleITK", "tensorflow", "keras", "numpy")


class Worker:
    """Process of a tool; `ready` is its first message."""

    def __init__(self, python, arguments):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(HERE.parents[1])}
        command = [python, str(HERE / "worker.py"), *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)
        self.ready = self._answer()

    def register(self, pair, folder):
        """Let the tool register a pair; returns (displacement, the worker's measurements)."""
        output = Path(folder) / "displacement.npy"
        self.process.stdin.write(json.dumps({"pair": str(pair), "displacement": str(output)}) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        return np.load(output), answer

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.process.args)} ended without an answer; run it to see why.")
        return json.loads(line)


def commands(options):
    """{row of the table: (Python interpreter, arguments of the worker)}."""
    rows = {name: (sys.executable, [name]) for name in PLAIN}
    rows["refine from identity"] = (sys.executable, ["network", "none"])
    if options.torch_python:
        rows["convexadam"] = (options.torch_python, ["convexadam"])
    if options.torch_weights:
        rows["VoxelMorph 0.3.4"] = (options.torch_python, ["voxelmorph-torch", options.torch_weights])
    for entry in options.network:
        name, model = entry.split("=", 1)
        rows[name] = (sys.executable, ["network", model])
        for steps in options.refine:
            rows[f"{name} + {steps} steps"] = (sys.executable, ["network", model, str(steps)])
    chosen = options.only or rows
    return {name: command for name, command in rows.items() if name in chosen and name not in options.without}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with scans and labels in val")
    parser.add_argument("--image_suffix", default="", help="as in evaluate.py")
    parser.add_argument("--labels_suffix", default="", help="as in evaluate.py")
    parser.add_argument("--spacing_mm", type=float, default=0, help="voxel size of files that state none")
    parser.add_argument("--max_pairs", type=int, default=0, help="number of ordered pairs of the val folder; 0 for all")
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=MODEL",
        help="row for a .keras file, shipped, or a preset with untrained weights",
    )
    parser.add_argument(
        "--refine", type=int, nargs="*", default=[], help="one more row for each network and number of steps"
    )
    parser.add_argument("--torch_python", default="", help="Python with torch, convexAdam and voxelmorph==0.3.4")
    parser.add_argument("--torch_weights", default="", help="weights written by train_voxelmorph.py")
    parser.add_argument("--few", action="append", default=[], metavar="ROW=PAIRS", help="a row with fewer pairs")
    parser.add_argument("--without", nargs="*", default=[], help="rows to leave out")
    parser.add_argument("--only", nargs="*", default=[], help="rows to run, instead of all")
    parser.add_argument("--reference", default="greedy", help="row that the others are compared with")
    parser.add_argument("--output_dir", required=True, type=Path, help="folder of the results")
    return parser.parse_args()


def main():
    options = parse()
    config = EvaluateConfig(
        data_dir=options.data_dir,
        image_suffix=options.image_suffix,
        labels_suffix=options.labels_suffix,
        max_pairs=options.max_pairs,
    )
    scans, pairs = find_pairs(config)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    rows = commands(options)
    done = Journal(options.output_dir / "journal.jsonl")
    few = dict(entry.split("=", 1) for entry in options.few)
    pairs_of = {name: spread(pairs, few.get(name)) for name in rows}
    open_rows = [name for name in rows if any(not done.has(name, scans, pair) for pair in pairs_of[name])]
    workers = {name: Worker(*rows[name]) for name in open_rows}
    for number, pair in enumerate(pairs, 1):
        moving, fixed = (load(scans[index], options.spacing_mm) for index in pair)
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/pair.npz", moving=moving[0], fixed=fixed[0], spacing_mm=fixed[2])
            for name, worker in workers.items():
                if pair not in pairs_of[name] or done.has(name, scans, pair):
                    continue
                displacement, measured = worker.register(f"{folder}/pair.npz", folder)
                scores = score(name, scans, pair, displacement, moving[1], fixed[1], fixed[2], measured)
                done.add(scores, {**worker.ready, **measured})
                print(
                    f"{number}/{len(pairs)} {scores.moving} -> {scores.fixed} {name}: Dice {scores.mean('dice'):.4f}, "
                    f"{scores.seconds:.2f} s, {scores.peak_memory_mib:.0f} MiB",
                    flush=True,
                )
    for worker in workers.values():
        worker.process.stdin.close()
        worker.process.wait()
    print(write_report(options.output_dir, done.entries(scans, pairs_of), options.reference, settings(options)))


def spread(pairs, count):
    """`count` of the pairs at about equal distances; all of them for None."""
    if count is None:
        return pairs
    return [pairs[index] for index in np.unique(np.linspace(0, len(pairs) - 1, int(count)).round().astype(int))]


def load(scan, spacing_mm):
    """Read a scan: (float32 image from 0 to 255, labels, voxel size)."""
    image = read_image(scan.image).array[..., 0].astype("float32")
    spacing = spacing_mm_of(scan.image) or (spacing_mm,) * image.ndim
    return image * (255.0 / image.max()), read_labels(scan.labels).array, np.array(spacing[: image.ndim], float)


def score(name, scans, pair, displacement, moving_labels, fixed_labels, spacing_mm, measured):
    """The row of one tool and pair."""
    return PairScores(
        moving=scans[pair[0]].name,
        fixed=scans[pair[1]].name,
        method=name,
        labels=label_scores(warp_labels(moving_labels, displacement), fixed_labels, BRAIN_LABELS, tuple(spacing_mm)),
        seconds=measured["seconds"],
        peak_memory_mib=measured["peak_memory_mib"],
        **deformation_scores(displacement),
    )


class Journal:
    """File of finished pairs, one line of JSON for each tool and pair."""

    def __init__(self, path):
        self.path, self.lines = path, {}
        for line in path.read_text().splitlines() if path.is_file() else ():
            self._keep(json.loads(line))

    def _keep(self, line):
        self.lines[line["scores"]["method"], line["scores"]["moving"], line["scores"]["fixed"]] = line

    def has(self, name, scans, pair):
        return (name, scans[pair[0]].name, scans[pair[1]].name) in self.lines

    def add(self, scores, measured):
        # Through JSON and back, so that interrupted and uninterrupted runs give the same report.
        text = json.dumps({"scores": dataclasses.asdict(scores), "measured": measured})
        self._keep(json.loads(text))
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(text + "\n")

    def entries(self, scans, pairs_of):
        """[(`PairScores`, measurements)], tool by tool."""
        keys = [(name, scans[m].name, scans[f].name) for name, pairs in pairs_of.items() for m, f in pairs]
        return [(PairScores(**self.lines[key]["scores"]), self.lines[key]["measured"]) for key in keys]


def settings(options):
    # Rows that are left out need no package.
    packages = {name: next(iter(importlib.metadata.distributions(name=name)), None) for name in PACKAGES}
    versions = {name: package.version for name, package in packages.items() if package}
    if options.torch_python:
        versions |= torch_versions(options.torch_python)
    return {
        "command": ["PYTHON" if word == options.torch_python else word for word in sys.argv],
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": versions,
        "load_average_at_the_end": os.getloadavg(),
    }


def torch_versions(python):
    names = "('torch', 'voxelmorph', 'convexAdam')"
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names}}}))"
    return json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
