"""VxmProbabilistic: a VxmPyramid's mean, and a variance that is symmetric in both images."""

import keras
import numpy as np
import pytest

from vxm_tf.models import VxmProbabilistic, VxmPyramid, from_preset

SMALL = {"features": (4, 6), "iterations": (2, 2)}
BOTH = ("velocity", "log_variance", "displacement")


@pytest.fixture
def images(rng):
    return rng.random((2, 1, 15, 18, 1), dtype="float32")


@pytest.fixture
def network(rng):
    """With heads whose answers vary from voxel to voxel."""
    network = VxmProbabilistic((15, 18), outputs=BOTH, **SMALL)
    for layer in network.layers:
        if layer.name.startswith("flow_") or layer.name == "log_variance":
            kernel, bias = layer.get_weights()
            layer.set_weights([rng.normal(0.0, 0.05, kernel.shape), bias])
    return network


def answer(network, first, second):
    return {name: np.asarray(value) for name, value in network({"moving": first, "fixed": second}).items()}


def test_swapping_the_images_keeps_the_variance_and_turns_the_mean(network, images):
    there, back = answer(network, *images), answer(network, *images[::-1])
    assert there["log_variance"].std() > 0.01
    np.testing.assert_allclose(there["log_variance"], back["log_variance"], atol=1e-5)
    np.testing.assert_allclose(there["velocity"], -back["velocity"], atol=1e-5)


def test_the_mean_is_that_of_the_pyramid_with_the_same_weights(network, images):
    plain = VxmPyramid((15, 18), outputs=("displacement",), **SMALL)
    weights = {weight.path: weight for weight in network.weights}
    for weight in plain.weights:
        weight.assign(weights[weight.path])
    np.testing.assert_allclose(
        answer(network, *images)["displacement"], answer(plain, *images)["displacement"], atol=1e-6
    )


def test_samples_have_the_mean_and_the_variance(network, images):
    found = answer(network, *images)
    mean, log_variance = (np.repeat(found[name], 2000, axis=0) for name in ("velocity", "log_variance"))
    samples = np.asarray(network.sample_velocity(mean, log_variance, seed=3))
    deviation = np.exp(0.5 * log_variance[0])
    np.testing.assert_allclose(samples.std(0), deviation, rtol=0.12)
    assert np.abs((samples.mean(0) - mean[0]) / deviation).max() < 0.12
    np.testing.assert_array_equal(samples[:1], network.sample_velocity(mean, log_variance, seed=3)[:1])
    assert np.abs(samples[:1] - np.asarray(network.sample_velocity(mean, log_variance, seed=4))[:1]).max() > 0.01


def test_neighbours_of_a_sample_vary_together(network, images):
    found = answer(network, *images)
    mean, log_variance = (np.repeat(found[name], 2000, axis=0) for name in ("velocity", "log_variance"))
    noise = (np.asarray(network.sample_velocity(mean, log_variance, seed=3)) - mean) * np.exp(-0.5 * log_variance)
    assert 0.5 < (noise[:, 4, 4] * noise[:, 4, 5]).mean() < 0.9


def test_a_file_keeps_it(network, images, tmp_path):
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert type(loaded) is VxmProbabilistic
    for name, value in answer(network, *images).items():
        np.testing.assert_allclose(answer(loaded, *images)[name], value, atol=1e-6)


def test_presets_are_those_of_the_pyramid():
    assert type(from_preset("small", (16, 16), probabilistic=True)) is VxmProbabilistic
    with pytest.raises(ValueError, match="one of the presets small, base, large, any-contrast; got 'fast'"):
        from_preset("fast", (16, 16), probabilistic=True)


def test_other_networks_have_no_variance():
    with pytest.raises(ValueError, match="There is no output 'log_variance'"):
        VxmPyramid((16, 16), outputs=("log_variance",), **SMALL)
