"""A killed training goes on, and the same command gives the same weights bit for bit: `train.py` as users run it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vxm_tf.models import load_model

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 2
FLAGS = (
    "--deterministic --similarity=mse --mixed_precision=off --notensorboard "
    f"--max_val_pairs=1 --batch_size=2 --epochs={EPOCHS} --steps_per_epoch=30 --warmup_steps=10 --seed=3"
).split()
NETWORKS = {
    "dense": ["--preset=fast", "--integration_steps=0"],
    "probabilistic": ["--model=probabilistic", "--preset=small", "--learning_rate=0.01"],
}


def start(phantoms, directory, network):
    command = [sys.executable, "train.py", f"--data_dir={phantoms}", f"--output_dir={directory}", *FLAGS, *network]
    with open(f"{directory}.txt", "a") as output:
        return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)


def epochs_done(directory):
    path = directory / "state.json"
    return len(json.loads(path.read_text())["history"]) if path.exists() else 0


def kill_in_second_epoch(process, directory):
    deadline = time.monotonic() + 900
    while epochs_done(directory) < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module", params=["dense", pytest.param("probabilistic", marks=pytest.mark.slow)])
def runs(request, phantoms, tmp_path_factory):
    """Folders of the same command: twice without interruption, and killed in the second epoch and started again."""
    folder = tmp_path_factory.mktemp("runs")
    directories = {name: folder / name for name in ("first", "second", "killed")}
    network = NETWORKS[request.param]
    processes = {name: start(phantoms, directory, network) for name, directory in directories.items()}
    try:
        kill_in_second_epoch(processes["killed"], directories["killed"])
        assert epochs_done(directories["killed"]) == 1, (folder / "killed.txt").read_text()
        processes["killed"] = start(phantoms, directories["killed"], network)
        codes = {name: process.wait(timeout=900) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
    assert set(codes.values()) == {0}, [(folder / f"{name}.txt").read_text() for name in codes]
    return directories


def assert_same(first, second):
    for name in ("best.keras", "last.keras"):
        networks = [load_model(directory / name) for directory in (first, second)]
        for one, other in zip(*(network.get_weights() for network in networks), strict=True):
            np.testing.assert_array_equal(one, other)
    states = [np.load(directory / f"state-{EPOCHS:05d}.npz") for directory in (first, second)]
    assert states[0].files == states[1].files
    for array in states[0].files:
        np.testing.assert_array_equal(states[0][array], states[1][array])


def test_the_same_command_twice_gives_the_same_weights_bit_for_bit(runs):
    assert_same(runs["first"], runs["second"])


def test_killed_and_started_again_gives_the_weights_of_an_uninterrupted_training(runs):
    assert_same(runs["first"], runs["killed"])


def test_killed_and_started_again_gives_the_log_of_an_uninterrupted_training(runs):
    logs = [(runs[name] / "log.csv").read_text() for name in ("first", "killed")]
    assert logs[0].count("\n") == 1 + EPOCHS
    assert logs[0] == logs[1]


def test_the_restart_says_where_it_goes_on(runs):
    assert f"Going on after epoch 1 of {EPOCHS}" in Path(f"{runs['killed']}.txt").read_text()


def test_the_weights_have_been_trained(runs):
    rows = (runs["first"] / "log.csv").read_text().splitlines()
    losses = [float(row.split(",")[1]) for row in rows[1:]]
    assert rows[0].split(",")[1] == "loss"
    assert losses[-1] < 0.95 * losses[0]
