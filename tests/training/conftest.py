"""A training that takes seconds: 2-D phantoms, a network of a few hundred parameters, three steps an epoch."""

import dataclasses

import numpy as np
import pytest

from vxm_tf import losses
from vxm_tf.data.synthetic.phantoms import write_population
from vxm_tf.models import PRESETS, VxmDense
from vxm_tf.training import RegistrationTrainer, TrainConfig

TINY = {"features": ((4,), (4,)), "velocity_resolution": 1, "integration_resolution": 1, "integration_steps": 2}


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """Folder with train/ (4) and val/ (2), 32 x 32 voxels, with segmentations."""
    return write_population(tmp_path_factory.mktemp("phantoms"), (32, 32), num_train=4, num_val=2)


@pytest.fixture
def tiny(monkeypatch, compiler):
    """The preset "fast" made tiny, and nothing compiled: compiling takes longer than such a training."""
    monkeypatch.setitem(PRESETS, "fast", TINY)
    compiler(None)


@pytest.fixture
def make_config(phantoms, tmp_path, tiny):
    """make_config(**changed) -> a `TrainConfig` of two epochs of three steps."""
    config = TrainConfig(
        data_dir=str(phantoms),
        output_dir=str(tmp_path / "out"),
        preset="fast",
        integration_steps=0,
        similarity="mse",
        epochs=2,
        steps_per_epoch=3,
        warmup_steps=1,
        tensorboard=False,
    )
    return lambda **changed: dataclasses.replace(config, **changed)


@pytest.fixture
def make_trainer(rng, compiler):
    """make_trainer(**settings) -> a trainer of a small network that moves things by about a voxel."""
    compiler(None)

    def make(shape=(15, 18), similarity=None, regularity=None, weight=0.7, bidirectional=False, **network):
        network = VxmDense(shape, **{**TINY, **network})
        kernel, bias = network.get_layer("flow").get_weights()
        network.get_layer("flow").set_weights([rng.normal(0, 0.5, kernel.shape), rng.normal(0, 1, bias.shape)])
        return RegistrationTrainer(
            network,
            similarity or losses.MSE(),
            regularity or losses.GradientPenalty(),
            weight=weight,
            bidirectional=bidirectional,
        )

    return make


@pytest.fixture
def batch(rng):
    """Two pairs of random images, 15 x 18 voxels."""
    return {name: rng.random((2, 15, 18, 1), dtype="float32") for name in ("moving", "fixed")}


@pytest.fixture
def numpy_gradient_penalty():
    """l2 by hand: the mean over the axes of the mean squared forward difference."""

    def penalty(field):
        axes = range(1, field.ndim - 1)
        return np.mean([np.mean(np.diff(field, axis=axis) ** 2) for axis in axes])

    return penalty


@pytest.fixture
def messages(caplog):
    """messages() -> what was logged so far."""
    caplog.set_level("INFO", logger="absl")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)
