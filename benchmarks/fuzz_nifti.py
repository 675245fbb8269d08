"""Send damaged NIfTI files to the graph that reads them, and to a whole exported `register_nifti`.

    python benchmarks/fuzz_nifti.py --minutes 10 --seed 0

A worker process with limited memory calls them. A crash, an answer after more than `SECONDS`, a value that is not
finite and an error that is not TensorFlow's are failures, whose files go to `benchmarks/results/fuzz-nifti-failures`.
Writes `benchmarks/results/fuzz-nifti.json`.
"""

import argparse
import base64
import collections
import gzip
import json
import platform
import re
import resource
import select
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

from vxm_tf.files.json_file import write_json

RESULTS = Path(__file__).resolve().parent / "results"
FAILURES = RESULTS / "fuzz-nifti-failures"
SECONDS, STARTING_SECONDS = 60, 300
# Memory that a worker may use beyond that of TensorFlow and the network before the first file: enough for the largest
# working grid that is not refused. TensorFlow does not always survive an allocation that fails.
MEGABYTES = 8192
REGISTER_EVERY = 5
# Fields of a NIfTI header: offset, format, and values at and beyond the edges of their meaning.
SHORTS = (-32768, -1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 64, 127, 128, 255, 256, 512, 1024, 4096, 32767)
FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 100.0, 348.0, 351.9, 352.0, 353.0, 1e-45, 1e-30, 1e-6, 1e3, 1e6, 1e9, 1e30,
    3.4e38, -3.4e38, 2.0**31, -(2.0**31), 2.0**63, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TYPES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 255, 256, 511, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, -1, 32767)
FIELDS = {
    "sizeof_hdr": (0, "i", (0, -1, 348, 540, 352, 1543569408, 2**31 - 1, -(2**31))),
    **{f"dim{k}": (40 + 2 * k, "h", SHORTS) for k in range(8)},
    "datatype": (70, "h", TYPES),
    "bitpix": (72, "h", SHORTS),
    **{f"pixdim{k}": (76 + 4 * k, "f", FLOATS) for k in range(8)},
    "vox_offset": (108, "f", FLOATS),
    "scl_slope": (112, "f", FLOATS),
    "scl_inter": (116, "f", FLOATS),
    "xyzt_units": (123, "B", tuple(range(9)) + (10, 255)),
    "qform_code": (252, "h", SHORTS),
    "sform_code": (254, "h", SHORTS),
    **{f"quaternion{k}": (256 + 4 * k, "f", FLOATS) for k in range(6)},
    **{f"srow{k}": (280 + 4 * k, "f", FLOATS) for k in range(12)},
    "magic": (344, "4s", (b"n+1\0", b"ni1\0", b"n+2\0", b"\0\0\0\0", b"\xff\xff\xff\xff")),
    "extension": (348, "4s", (b"\1\0\0\0", b"\xff\xff\xff\xff")),
}
NUMBERS = re.compile(r"[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|nan|inf)\b", re.IGNORECASE)


def seeds(rng):
    """Valid files of all types, byte orders and orientations, with and without qform and sform."""
    files = []
    for index, kind in enumerate(("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8") * 2):
        shape = tuple(int(size) for size in rng.integers(4, 14, 3))
        values = 20 + 80 * rng.random(shape)
        values[0] = 0
        header = nibabel.Nifti1Header(endianness="<>"[index % 2])
        header.set_data_dtype(header.endianness + kind)
        affine = np.diag([*rng.uniform(2.0, 6.0, 3), 1.0])[[*rng.permutation(3), 3]]
        affine[:3, 3] = -2.5 * np.abs(affine[:3, :3]).sum(axis=1)
        image = nibabel.Nifti1Image(values.astype(header.endianness + kind), affine, header)
        image.set_sform(affine, index % 3 % 2)
        image.set_qform(affine, index % 3 // 2)
        files.append(image.to_bytes())
    return files


def mutated(content, rng):
    """A file with one to four kinds of damage; some are gzipped, and some of those archives are damaged too."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        data = rng.choice([random_bytes, field, field, field, truncated, voxel_bytes])(data, rng)
    archive = rng.random() < 0.4
    return damaged_archive(bytes(data), rng) if archive else bytes(data)


def random_bytes(data, rng):
    """Replace some bytes of the header at random."""
    for _ in range(int(rng.integers(1, 6))):
        if data:
            data[int(rng.integers(min(len(data), 352)))] = int(rng.integers(256))
    return data


def field(data, rng):
    """Set one field of the header to a boundary value, in the file's own byte order."""
    offset, form, values = FIELDS[str(rng.choice(list(FIELDS)))]
    order = "<" if data[:4] == struct.pack("<i", 348) else ">"
    packed = struct.pack(order + form, values[int(rng.integers(len(values)))])
    if len(data) >= offset + len(packed):
        data[offset : offset + len(packed)] = packed
    return data


def truncated(data, rng):
    """Cut three files in ten at a random byte."""
    return data[: int(rng.integers(len(data) + 1))] if rng.random() < 0.3 else data


def voxel_bytes(data, rng):
    """Replace some voxels by random bytes, or by the extremes of their type."""
    for _ in range(int(rng.integers(1, 4))):
        if len(data) > 368:
            place = int(rng.integers(352, len(data) - 8))
            data[place : place + 8] = rng.bytes(8) if rng.random() < 0.5 else rng.choice([b"\xff" * 8, b"\x7f" * 8])
    return data


def damaged_archive(data, rng):
    """Compress with gzip, and damage most of the archives."""
    archive, kind = bytearray(gzip.compress(data, 1)), int(rng.integers(6))
    if kind == 0:
        return bytes(archive[: int(rng.integers(len(archive)))])
    if kind == 1:
        return bytes(archive) + rng.bytes(int(rng.integers(40)))
    if kind == 2:
        return bytes(archive[:-4]) + struct.pack("<I", int(rng.choice([0, 1, len(data) + 1, 2**30, 2**32 - 1])))
    if kind == 3:
        return bytes(archive) * 2
    if kind == 4:
        for _ in range(int(rng.integers(1, 5))):
            archive[int(rng.integers(len(archive)))] = int(rng.integers(256))
    return bytes(archive)


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
    model, found = functions(folder)
    rng = np.random.default_rng(0)
    content = seeds(rng)[4]
    for function in found.values():
        function(content, content)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    ceiling = pages * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    reply(["ready", ""])
    for line in sys.stdin:
        name, *files = json.loads(line)
        reply(outcome(found[name], *map(base64.b64decode, files)))
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
        found = fuzz(arguments.minutes, arguments.seed, folder)
    settings = {"minutes": arguments.minutes, "seed": arguments.seed, "megabytes_beyond_start": MEGABYTES}
    result = {**settings, "register_every": REGISTER_EVERY, "versions": versions(), **found}
    write_json(RESULTS / "fuzz-nifti.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
