"""Send damaged NIfTI files to the graph that reads them, and to a whole exported `register_nifti`.

    python benchmarks/fuzz_nifti.py --minutes 10 --seed 0

A worker process with limited memory calls them. A crash, an answer after more than `SECONDS`, a value that is not
finite and an error that is not TensorFlow's are failures, whose files go to `benchmarks/results/fuzz-nifti-failures`.
Writes `benchmarks/results/fuzz-nifti.json`.
"""

import argparse
import base64
import collections
import json
import platform
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from nifti_damage import mutated, seeds

from vxm_tf.files.json_file import write_json

RESULTS = Path(__file__).resolve().parent / "results"
FAILURES = RESULTS / "fuzz-nifti-failures"
SECONDS, STARTING_SECONDS = 60, 300
# Memory that a worker may use beyond that of TensorFlow and the network before the first file: enough for the largest
# working grid that is not refused. TensorFlow does not always survive an allocation that fails.
MEGABYTES = 8192
REGISTER_EVERY = 5
NUMBERS = re.compile(r"[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|nan|inf)\b", re.IGNORECASE)


def cases(seed):
    """Yield (signature, moving, fixed) without end; `read_nifti` gets one file."""
    rng = np.random.default_rng(seed)
    files = seeds(rng)
    for number in range(2**62):
        first, second = (files[int(rng.integers(len(files)))] for _ in range(2))
        damaged = mutated(first, rng)
        if number % REGISTER_EVERY:
            yield "read_nifti", damaged, b""
        else:
            yield ("register_nifti", *((damaged, second) if rng.random() < 0.5 else (second, damaged)))


def message_class(message):
    """Message of an error, without its numbers and without the text that TensorFlow adds."""
    from vxm_tf.serving.rest.errors import graph_message

    return " ".join(NUMBERS.sub("#", graph_message(message)).split())[:160]


def export(folder):
    """Export a small network with every signature."""
    import keras

    from vxm_tf.models import VxmDense
    from vxm_tf.serving import export_saved_model

    keras.utils.set_random_seed(0)
    network = VxmDense((None,) * 3, features=((2,), (2,)), integration_steps=1)
    grid = {"shape": (16, 16, 16), "spacing_mm": (2.0, 2.0, 2.0), "orientation": "LIA"}
    network.metadata = {"normalization": "percentile", "grid": grid}
    export_saved_model(network, folder, warm_up=False)


def functions(folder):
    """The model, and {signature: function of (moving, fixed)}."""
    import tensorflow as tf

    from vxm_tf.serving.graph.nifti_reading import read_nifti

    model = tf.saved_model.load(f"{folder}/1")
    read = tf.function(lambda content: read_nifti(content, "moving"), input_signature=[tf.TensorSpec((), tf.string)])
    register = model.signatures["register_nifti"]
    return model, {
        "read_nifti": lambda moving, _: read(tf.constant(moving)),
        "register_nifti": lambda moving, fixed: register(moving=tf.constant(moving), fixed=tf.constant(fixed)),
    }


def outcome(function, moving, fixed):
    """Call a function; returns (kind, message), the kind being accepted, refused or failed."""
    import tensorflow as tf

    try:
        answer = function(moving, fixed)
        values = answer.values() if isinstance(answer, dict) else answer
        wrong = [v for v in values if v.dtype.is_floating and not np.all(np.isfinite(v))]
        return ("failed", "a value that is not finite") if wrong else ("accepted", "")
    except tf.errors.ResourceExhaustedError as error:
        return "failed", message_class(error.message)
    except tf.errors.OpError as error:
        return "refused", message_class(error.message)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"[:300]


def work(folder):
    """Answer each case on standard input with a line of JSON."""
    # The graph stays alive with its model.
    model, answering = functions(folder)
    rng = np.random.default_rng(0)
    content = seeds(rng)[4]
    for function in answering.values():
        function(content, content)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    ceiling = pages * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    reply(["ready", ""])
    for line in sys.stdin:
        name, *files = json.loads(line)
        reply(outcome(answering[name], *map(base64.b64decode, files)))
    del model


def reply(message):
    print(json.dumps(message), flush=True)


class Worker:
    """A process that answers cases, and that is restarted when it dies."""

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def ask(self, case):
        """Let the process answer one case; returns (kind, message)."""
        if self.process is None:
            self._start()
        name, *files = case
        line = json.dumps([name, *(base64.b64encode(content).decode() for content in files)])
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self._reply(SECONDS)

    def end(self):
        """Stop the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _start(self):
        command = [sys.executable, __file__, "--worker", self.folder]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        kind, message = self._reply(STARTING_SECONDS)
        if kind != "ready":
            raise RuntimeError(f"No worker: {message}")

    def _reply(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        code = self.process.poll() if not ready else self.process.wait()
        self.end()
        return "crashed", f"no answer in {seconds} seconds" if not ready else f"the process ended with {code}"


def keep(number, case, kind, message):
    """Save the files and the message of a failure."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    for role, content in zip(("moving", "fixed"), case[1:]):
        (FAILURES / f"{number}-{role}.bin").write_bytes(content)
    (FAILURES / f"{number}.json").write_text(json.dumps({"signature": case[0], "kind": kind, "message": message}))


def fuzz(minutes, seed, folder):
    """Ask for so many minutes; returns the numbers of outcomes and messages."""
    worker = Worker(folder)
    counts = {name: collections.Counter() for name in ("read_nifti", "register_nifti")}
    messages, failures = collections.Counter(), collections.Counter()
    slowest, ends = 0.0, time.monotonic() + 60 * minutes
    for number, case in enumerate(cases(seed)):
        if time.monotonic() > ends:
            break
        is_running, begun = worker.process is not None, time.monotonic()
        kind, message = worker.ask(case)
        slowest = max(slowest, time.monotonic() - begun) if is_running else slowest
        counts[case[0]][kind] += 1
        if kind == "refused":
            messages[message] += 1
        elif kind != "accepted":
            failures[f"{kind}: {message}"] += 1
            keep(number, case, kind, message)
    worker.end()
    return {
        "cases": sum(sum(count.values()) for count in counts.values()),
        "outcomes": {name: dict(sorted(count.items())) for name, count in counts.items()},
        "crashes": sum(count["crashed"] for count in counts.values()),
        "failures": dict(failures.most_common()),
        "slowest_answer_seconds": round(slowest, 2),
        "refused_by_message": dict(messages.most_common()),
    }


def versions():
    from importlib.metadata import version

    return {"python": platform.python_version(), **{n: version(n) for n in ("tensorflow", "keras", "numpy", "nibabel")}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="time limit")
    parser.add_argument("--seed", type=int, default=0, help="seed of the damage")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.worker)
    with tempfile.TemporaryDirectory() as folder:
        export(folder)
        counts = fuzz(arguments.minutes, arguments.seed, folder)
    settings = {"minutes": arguments.minutes, "seed": arguments.seed, "megabytes_beyond_start": MEGABYTES}
    result = {**settings, "register_every": REGISTER_EVERY, "versions": versions(), **counts}
    write_json(RESULTS / "fuzz-nifti.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
