"""Commands called in this process, and a folder of scans and a model for them."""

import dataclasses
import logging

import nibabel
import numpy as np
import pytest
from absl import logging as absl_logging

from vxm_tf.cli import (
    apply,
    calibrate,
    certify,
    client,
    compose,
    convert,
    demo,
    evaluate,
    export,
    invert,
    register,
    serve,
    train,
)  # fmt: skip
from vxm_tf.models import PRESETS, VxmDense

COMMANDS = {
    module.__name__.rpartition(".")[2]: module.main
    for module in (
        train,
        evaluate,
        register,
        export,
        apply,
        compose,
        invert,
        calibrate,
        certify,
        client,
        serve,
        convert,
        demo,
    )  # fmt: skip
}


@dataclasses.dataclass
class Answer:
    """What a command left: exit code (0 if it returned), standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys, caplog):
    """call(command, *arguments) -> `Answer`; what the command changes about logging ends with the test."""
    handler, root = absl_logging.get_absl_handler(), logging.getLogger()
    before = absl_logging.get_verbosity(), list(handler.filters), handler.formatter, list(root.handlers)

    def run(command, *arguments):
        try:
            COMMANDS[command]([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code
        return Answer(code, *capsys.readouterr())

    yield run
    absl_logging.set_verbosity(before[0])
    handler.filters[:], handler.formatter, root.handlers[:] = before[1], before[2], before[3]


@pytest.fixture
def tiny(monkeypatch, compiler):
    """The preset "fast" made tiny, and nothing compiled: compiling takes longer than such a training."""
    settings = {"features": ((4,), (4,)), "velocity_resolution": 1, "integration_resolution": 1}
    monkeypatch.setitem(PRESETS, "fast", {**settings, "integration_steps": 0})
    compiler(None)


@pytest.fixture
def scans(tmp_path, rng):
    """A folder of four scans of 16 x 17 voxels with a segmentation each."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for k in range(4):
        labels = np.zeros((16, 17), "uint8")
        labels[4 + k : 8 + k, 5:9] = 3
        np.savez(folder / f"scan{k}.npz", vol=rng.random((16, 17)), seg=labels)
    return folder


@pytest.fixture
def model(tmp_path):
    """A network for 2-D images of any shape."""
    network = VxmDense((None, None), features=((4,), (4,)), integration_steps=0)
    network.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.fixture
def nifti(tmp_path, rng):
    """nifti(name, shape or array) -> path of a NIfTI with these or with random voxels."""

    def write(name, voxels=(16, 17)):
        array = rng.random(voxels, dtype="float32") if isinstance(voxels, tuple) else voxels
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / name)
        return tmp_path / name

    return write
