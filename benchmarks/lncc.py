"""Seconds of LNCC and its gradient, window 9, on 80x96x112: ours, and the formula with `avg_pool3d`.

    python benchmarks/lncc.py

The two run in turn. Writes `benchmarks/results/lncc.json` and the results page.
"""

import os
import statistics
import time
from pathlib import Path

import numpy as np
from results_page import write_page

import vxm_tf  # before tensorflow, for oneDNN
from vxm_tf.files.json_file import write_json

import tensorflow as tf  # isort: skip

SHAPE, WINDOW, ROUNDS = (80, 96, 112), 9, 5


def pooled(fixed, moved):
    """LNCC whose local means are computed by pooling."""

    def mean(image):
        return tf.nn.avg_pool3d(image, WINDOW, 1, "SAME")

    covariance = mean(fixed * moved) - mean(fixed) * mean(moved)
    variances = [mean(image * image) - mean(image) ** 2 for image in (fixed, moved)]
    return -tf.reduce_mean(covariance**2 / (variances[0] * variances[1] + 1e-9))


def with_gradient(loss):
    """Compiled graph of the loss and its gradient with respect to the moved image."""

    @tf.function
    def run(fixed, moved):
        with tf.GradientTape() as tape:
            tape.watch(moved)
            value = loss(fixed, moved)
        return value, tape.gradient(value, moved)

    return run


def main():
    rng = np.random.default_rng(0)
    images = [tf.constant(rng.random((1, *SHAPE, 1), "float32")) for _ in range(2)]
    contestants = {"ours": with_gradient(vxm_tf.losses.LNCC(WINDOW)), "avg_pool3d": with_gradient(pooled)}
    seconds = {name: [] for name in contestants}
    values = {}
    for number in range(ROUNDS + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            values[name], gradient = run(*images)
            gradient.numpy()
            if number:
                seconds[name].append(time.perf_counter() - start)
    ratios = [slow / quick for slow, quick in zip(seconds["avg_pool3d"], seconds["ours"])]
    result = {
        "shape": list(SHAPE),
        "window": WINDOW,
        "cores": os.cpu_count(),
        "tensorflow": tf.__version__,
        "loss": {name: float(value) for name, value in values.items()},
        "median_seconds": {name: statistics.median(s) for name, s in seconds.items()},
        "median_speedup": statistics.median(ratios),
    }
    write_json(Path(__file__).resolve().parent / "results" / "lncc.json", result)
    write_page()
    print(f"LNCC is {result['median_speedup']:.0f} times faster than with avg_pool3d.")


if __name__ == "__main__":
    main()
