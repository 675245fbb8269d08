"""Seconds of a steady prediction of one 160x192x224 pair: our presets and VoxelMorph's torch network, in turn.

    python benchmarks/prediction.py --torch_python /path/to/venv/bin/python

Each contestant is a process of its own that waits while another computes. The first call of each is not
counted. Writes `benchmarks/results/prediction.json` and the results page.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from results_page import write_page

from vxm_tf.files.json_file import write_json

HERE = Path(__file__).resolve().parent
OURS = ("default", "fast", "small", "base")


def start(command):
    """Start a worker; returns the process and the line with which it introduces itself."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(HERE.parent)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    return process, process.stdout.readline().strip()


def ask(process):
    """Let a worker predict once; returns the seconds that it measured."""
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch_python", required=True, help="Python with torch and voxelmorph==0.3.4")
    parser.add_argument("--rounds", type=int, default=5, help="predictions of each contestant that count")
    parser.add_argument("--output", default=HERE / "results" / "prediction.json", type=Path, help="result file")
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
        "contestants": {name: description for name, (_, description) in workers.items()},
        "seconds": seconds,
        "median_seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "median_ratio_to_torch": {name: statistics.median(values) for name, values in ratios.items()},
    }
    write_json(options.output, result)
    write_page()
    for name, ratio in result["median_ratio_to_torch"].items():
        print(f"{name}: {result['median_seconds'][name]:.2f} s, {ratio:.2f} of torch's")


if __name__ == "__main__":
    main()
