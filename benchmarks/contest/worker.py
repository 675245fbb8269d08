"""Run one tool in a process of its own: read pairs from standard input, answer with seconds and memory.

Called by `run.py` as `worker.py TOOL [ARGUMENT ...]`. A line of input is JSON, {"pair": NPZ, "displacement": NPY}; a
line of output is JSON too. Output of the tool itself goes to standard error. The first registration of a process, which
may compile, is repeated unless it takes long, so that one pair is enough for the seconds of a steady process.
"""

import json
import os
import sys
import time

REPEATED_BELOW_SECONDS = 120

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(value):
    answers.write(json.dumps(value) + "\n")
    answers.flush()


def peak_memory_mib():
    """Peak memory of this process alone; `getrusage` would begin with the memory of its parent."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**10


def main(name, *arguments):
    begin = time.perf_counter()
    import numpy as np

    from tools import TOOLS

    tool = TOOLS[name](*arguments)
    say({"import_seconds": time.perf_counter() - begin})

    def register(*pair):
        begin = time.perf_counter()
        displacement = tool.register(*pair)
        return displacement, time.perf_counter() - begin

    first_seconds = None
    for line in sys.stdin:
        task = json.loads(line)
        with np.load(task["pair"]) as pair:
            images = pair["moving"], pair["fixed"], tuple(pair["spacing_mm"].tolist())
        displacement, seconds = register(*images)
        if first_seconds is None:
            first_seconds = seconds
            if seconds < REPEATED_BELOW_SECONDS:
                displacement, seconds = register(*images)
        np.save(task["displacement"], displacement)
        say({"seconds": seconds, "first_seconds": first_seconds, "peak_memory_mib": peak_memory_mib()})


if __name__ == "__main__":
    main(*sys.argv[1:])
