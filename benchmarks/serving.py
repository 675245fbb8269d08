"""Measure a server on this machine with a pair of 160x192x224: sizes, seconds, memory, many clients, a new version.

    python benchmarks/serving.py --model models/brains-2mm-fast/last.keras --moving A.nii.gz --fixed B.nii.gz

Exports the model, starts `export/serve_local.py` as a process of its own and asks it over HTTP. After the server has
ended, the signature `displacement_only` is called without a server in a process of its own, which gives the seconds of
the network alone; the rest of `register_bytes` is encoding, transport, JSON, decoding and normalisation. Writes
`benchmarks/results/serving.json`, or `--output`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

import nibabel
import numpy as np

from vxm_tf.files.json_file import write_json
from vxm_tf.serving.client import Client, ServingError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NETWORK = """
import sys, time
import numpy as np, tensorflow as tf
call = tf.saved_model.load(sys.argv[1]).signatures["displacement_only"]
shape = (1, *map(int, sys.argv[2].split(",")), 1)
image = tf.random.uniform(shape)
for _ in range(int(sys.argv[3]) + 1):
    start = time.perf_counter()
    call(moving=image, fixed=image)["displacement"].numpy()
    print(time.perf_counter() - start, flush=True)
"""


def start_server(folder, *flags):
    """Start a server and wait until it has a version; returns its process and URL."""
    port = 18500 + os.getpid() % 1000
    command = [sys.executable, str(ROOT / "export" / "serve_local.py"), "--model_base_path", str(folder)]
    process = subprocess.Popen([*command, "--port", str(port), *flags], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    client = Client(url, retries=0, timeout_seconds=5)
    for _ in range(240):
        try:
            if client.is_available():
                return process, url
        except ServingError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.5)
    raise SystemExit("The server did not start.")


def peak_mib(process):
    """Largest resident memory of a process so far, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def percentiles(seconds):
    return {"p50": float(np.percentile(seconds, 50)), "p95": float(np.percentile(seconds, 95)), "all": list(seconds)}


def timed(call, count):
    """Call once, then `count` times; returns (seconds of the later calls, seconds of the first, last answer)."""
    seconds = []
    for _ in range(count + 1):
        start = time.perf_counter()
        answer = call()
        seconds.append(time.perf_counter() - start)
        print(f"{seconds[-1]:.2f} s", flush=True)
    return seconds[1:], seconds[0], answer


class Counted:
    """Counter of the bytes that a client sent and received; its progress callback."""

    def __init__(self):
        self.bytes = {"sent": 0, "received": 0}

    def __call__(self, stage, done, total):
        self.bytes[stage] = done


def measure(url, signature, call_of, count):
    """Sizes and seconds of one signature."""
    print(signature, flush=True)
    counted = Counted()
    call = call_of(Client(url, progress=counted, timeout_seconds=600))
    seconds, first, _ = timed(call, count)
    sizes = {f"{stage}_mb": number / 1e6 for stage, number in counted.bytes.items()}
    return {**sizes, "first_seconds": first, "seconds": percentiles(seconds)}


def at_once(url, call_of, clients):
    """Call from `clients` threads at once; returns the number of answers and the seconds of the slowest."""
    done, lock = [], threading.Lock()

    def ask():
        start = time.perf_counter()
        try:
            call_of(Client(url, timeout_seconds=600))()
        except ServingError as error:
            print(error, flush=True)
            return
        with lock:
            done.append(time.perf_counter() - start)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"clients": clients, "answered": len(done), "slowest_seconds": max(done, default=None)}


def reload_under_load(url, call_of, export, clients=2):
    """Count answers and failures while version 2 replaces version 1; the clients do not retry."""
    counts, stop = {"answered": 0, "failed": 0}, threading.Event()

    def ask():
        while not stop.is_set():
            try:
                call_of(Client(url, timeout_seconds=600, retries=0))()
                counts["answered"] += 1
            except ServingError as error:
                print(error, flush=True)
                counts["failed"] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    export()
    start = time.perf_counter()
    while not Client(url, version=2, retries=0).is_available():
        time.sleep(0.5)
    available = time.perf_counter() - start
    time.sleep(10)
    stop.set()
    for thread in threads:
        thread.join()
    return {**counts, "clients": clients, "seconds_until_available": available}


def network_seconds(folder, shape, count):
    command = [sys.executable, "-c", NETWORK, str(folder / "1"), ",".join(map(str, shape)), str(count)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return percentiles([float(line) for line in lines[1:]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a .keras file, or shipped")
    parser.add_argument("--moving", required=True, type=Path, help="NIfTI file")
    parser.add_argument("--fixed", required=True, type=Path, help="NIfTI file")
    parser.add_argument("--requests", type=int, default=20, help="requests of each signature, one after the other")
    parser.add_argument("--clients", type=int, default=8, help="clients that ask at once")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "serving.json", help="result file")
    options = parser.parse_args()
    files = options.moving.read_bytes(), options.fixed.read_bytes()
    arrays = [np.asarray(nibabel.load(path).dataobj) for path in (options.moving, options.fixed)]
    calls = {
        "register_bytes": lambda client: lambda: client.register(*arrays),
        "register_nifti": lambda client: lambda: client.register_nifti(*files),
    }
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "vxm"

        def export():
            command = [sys.executable, str(ROOT / "export" / "export_model.py"), "--model", options.model]
            subprocess.run([*command, "--output_dir", str(folder)], check=True, capture_output=True)

        begin = time.perf_counter()
        export()
        exported = time.perf_counter() - begin
        graph_mb = (folder / "1" / "saved_model.pb").stat().st_size / 1e6
        process, url = start_server(folder)
        started = time.perf_counter() - begin - exported
        signatures = {name: measure(url, name, call, options.requests) for name, call in calls.items()}
        memory = {"after_single_requests": peak_mib(process)}
        print("clients at once", flush=True)
        together = {name: at_once(url, call, options.clients) for name, call in calls.items()}
        memory["after_clients_at_once"] = peak_mib(process)
        print("new version", flush=True)
        reload = reload_under_load(url, calls["register_bytes"], export)
        process.terminate()
        process.wait(120)
        network = network_seconds(folder, arrays[1].shape, options.requests)
    result = {
        "shape": list(arrays[1].shape),
        "dtype": str(arrays[0].dtype),
        "model": options.model,
        "export_seconds": exported,
        "saved_model_mb": graph_mb,
        "seconds_until_available": started,
        "requests": options.requests,
        "signatures": signatures,
        "network_alone_seconds": network,
        "register_bytes_beyond_the_network_seconds": signatures["register_bytes"]["seconds"]["p50"] - network["p50"],
        "at_once": together,
        "new_version_under_load": reload,
        "server_peak_memory_mib": memory,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "versions": {name: version(name) for name in ("tensorflow", "keras", "numpy", "uvicorn")},
    }
    write_json(options.output, result)
    print(json.dumps({k: v for k, v in result.items() if k != "signatures"}, indent=2))


if __name__ == "__main__":
    main()
