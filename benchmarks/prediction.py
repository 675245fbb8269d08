"""Steady prediction of one 160x192x224 pair: our presets and VoxelMorph's torch network, in turn.

    python benchmarks/prediction.py --torch_python /path/to/venv/bin/python

Each contestant is a process of its own that waits while another computes. The first call of each is not
counted. Prints and writes `benchmarks/results/prediction.json`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = ("default", "fast", "small", "base")


def start(command):
    """A worker, once it has said what it is."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(HERE.parent)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    return process, process.stdout.readline().strip()


def ask(process):
    """Seconds of one prediction."""
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch_python", required=True, help="Python with torch and voxelmorph==0.3.4")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", default=HERE / "results" / "prediction.json", type=Path)
    options = parser.parse_args()
    commands = {"torch": [options.torch_python, str(HERE / "torch_worker.py")]}
    commands |= {preset: [sys.executable, str(HERE / "worker.py"), preset] for preset in OURS}
    workers = {name: start(command) for name, command in commands.items()}
    seconds = {name: [] for name in workers}
    for number in range(options.rounds + 1):
        for name, (process, _) in workers.items():
            value = ask(process)
            if number:
                seconds[name].append(value)
            print(f"round {number}, {name}: {value:.2f} s", flush=True)
    for process, _ in workers.values():
        process.stdin.close()
        process.wait()
    ratios = {name: [ours / theirs for ours, theirs in zip(seconds[name], seconds["torch"])] for name in OURS}
    result = {
        "shape": [160, 192, 224],
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "contestants": {name: said for name, (_, said) in workers.items()},
        "seconds": seconds,
        "median_seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "median_ratio_to_torch": {name: statistics.median(values) for name, values in ratios.items()},
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: result[k] for k in ("median_seconds", "median_ratio_to_torch")}, indent=2))


if __name__ == "__main__":
    main()
