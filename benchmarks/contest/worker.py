"""One tool in a process of its own: reads pairs from standard input, answers with seconds and memory.

Called by `run.py` as `worker.py TOOL [ARGUMENT ...]`. A line of input is JSON, {"pair": NPZ, "displacement": NPY};
a line of output is JSON too. What a tool prints itself goes to standard error.
"""

import json
import os
import sys
import time

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(value):
    answers.write(json.dumps(value) + "\n")
    answers.flush()


def peak_memory_mib():
    """Of this process alone: `getrusage` begins with what its parent had when it started."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**10


def main(name, *arguments):
    begin = time.perf_counter()
    import numpy as np

    from tools import TOOLS

    tool = TOOLS[name](*arguments)
    say({"import_seconds": time.perf_counter() - begin})
    for line in sys.stdin:
        task = json.loads(line)
        with np.load(task["pair"]) as pair:
            moving, fixed, spacing_mm = pair["moving"], pair["fixed"], tuple(pair["spacing_mm"].tolist())
        begin = time.perf_counter()
        displacement = tool.register(moving, fixed, spacing_mm)
        seconds = time.perf_counter() - begin
        np.save(task["displacement"], displacement)
        say({"seconds": seconds, "peak_memory_mib": peak_memory_mib()})


if __name__ == "__main__":
    main(*sys.argv[1:])
