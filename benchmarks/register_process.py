"""Wall seconds and peak memory of a whole `register.py` process on one pair of 160x192x224 NIfTI files.

    python benchmarks/register_process.py --moving A.nii.gz --fixed B.nii.gz

The presets `default` and `fast` run in turn. Their weights are untrained, since neither time nor memory depends on
them. Writes `benchmarks/results/register-process.json` and the results page.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results_page import write_page

import vxm_tf
from vxm_tf.files.json_file import write_json

HERE = Path(__file__).resolve().parent
SHAPE = (160, 192, 224)


def run(command):
    """Run a process that must succeed; returns its wall seconds and peak memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{log}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moving", required=True, help="NIfTI file of 160x192x224 voxels")
    parser.add_argument("--fixed", required=True, help="NIfTI file of 160x192x224 voxels")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each preset")
    options = parser.parse_args()
    result = {"shape": list(SHAPE), "cores": os.cpu_count(), "presets": {}}
    with tempfile.TemporaryDirectory() as directory:
        commands = {}
        for preset in ("default", "fast"):
            model, moved = f"{directory}/{preset}.keras", f"{directory}/{preset}.nii.gz"
            vxm_tf.models.VxmDense.from_preset(preset, SHAPE).save(model)
            files = ["--moving", options.moving, "--fixed", options.fixed, "--model", model, "--moved", moved]
            commands[preset] = [sys.executable, str(HERE.parent / "register.py"), *files]
        runs = {preset: [] for preset in commands}
        for _ in range(options.rounds):
            for preset, command in commands.items():
                runs[preset].append(run(command))
                print(f"{preset}: {runs[preset][-1][0]:.1f} s, {runs[preset][-1][1]:.0f} MiB", flush=True)
    for preset, values in runs.items():
        seconds, memory = zip(*values)
        result["presets"][preset] = {
            "seconds": seconds,
            "median_seconds": statistics.median(seconds),
            "peak_memory_mib": max(memory),
        }
    write_json(HERE / "results" / "register-process.json", result)
    write_page()


if __name__ == "__main__":
    main()
