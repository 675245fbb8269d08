"""A saved network comes back, and a file that holds none is named."""

import pickle

import keras
import numpy as np
import pytest

from vxm_tf import metrics
from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.data.warping import warp_labels
from vxm_tf.files import InputError
from vxm_tf.models import VxmDense, VxmProbabilistic, VxmPyramid, load_model
from vxm_tf.models.legacy.vxm_2018 import Vxm2018
from vxm_tf.models.saved import model_path
from vxm_tf.registration import register_images
from vxm_tf.registration.predict import register_pair
from vxm_tf.spatial import Grid, SpatialImage


@pytest.fixture
def saved(tmp_path):
    network = VxmDense((15, 18), features=((4, 4), (4, 4)))
    network.metadata = {"normalization": "minmax", "multichannel": True}
    network.save(tmp_path / "model.keras")
    return network, tmp_path / "model.keras"


def refused(path, *reasons):
    with pytest.raises(InputError) as caught:
        load_model(path)
    for text in (str(path), *reasons):
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_comes_back_with_its_weights_and_metadata(saved):
    network, path = saved
    loaded = load_model(str(path))
    assert isinstance(loaded, VxmDense)
    assert loaded.metadata == {"normalization": "minmax", "multichannel": True}
    for before, after in zip(network.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "kind, settings",
    [
        (VxmDense, {"features": ((4, 4), (4, 4))}),
        (VxmPyramid, {"features": (4, 6), "iterations": (2, 2)}),
        (VxmProbabilistic, {"features": (4, 6), "iterations": (2, 2)}),
        (Vxm2018, {"features": ((4, 4, 4, 4), (4, 4, 4, 4, 4))}),
    ],
)
def test_every_output_is_the_same_live_saved_and_resized(kind, settings, rng, tmp_path):
    network = kind((16, 32), integration_steps=3, **settings)
    network.set_weights([rng.normal(0.0, 0.05, weight.shape) for weight in network.get_weights()])
    network.save(tmp_path / "model.keras")
    others = (
        load_model(tmp_path / "model.keras"),
        network.for_shape((None, None)),
        network.for_shape((None, 32)).for_shape((16, 32)),
        pickle.loads(pickle.dumps(network)),
    )
    images = {name: rng.random((1, 16, 32, 1), "float32") for name in ("moving", "fixed")}
    for output in network.ANSWERS:
        expected = np.asarray(network.with_outputs(output)(images)[output])
        assert expected.std() > 1e-4
        for other in others:
            np.testing.assert_allclose(other.with_outputs(output)(images)[output], expected, atol=1e-6, err_msg=output)


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "gone.keras", "no such model file")


def test_a_folder_is_named(tmp_path):
    refused(tmp_path, "no such model file")


@pytest.mark.parametrize("name", ("model.keras", "model.h5", "model.txt"))
def test_a_text_file_with_the_name_of_a_model_is_named(tmp_path, name):
    (tmp_path / name).write_text("no weights here")
    refused(tmp_path / name, "cannot be loaded")


@pytest.mark.parametrize("part", (0.0, 0.5, 0.99))
def test_a_truncated_model_is_named(saved, part):
    _, path = saved
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    refused(path, "truncated")


def test_a_model_that_does_not_register_is_named(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "other.keras")
    refused(tmp_path / "other.keras", "Sequential", "not a registration network")


def test_bare_weights_are_no_model(saved, tmp_path):
    saved[0].save_weights(tmp_path / "a.weights.h5")
    refused(tmp_path / "a.weights.h5", "cannot be loaded")


@pytest.fixture(scope="module")
def shipped():
    return load_model("shipped")


def test_the_package_comes_with_a_network(shipped):
    assert model_path("shipped").stat().st_size < 10e6
    assert isinstance(shipped, VxmPyramid) and shipped.settings["channels"] == (1, 1)
    assert shipped.metadata["normalization"] == "percentile"
    # Any field of view: its grid is told by spacing and orientation alone.
    assert shipped.metadata["grid"] == {"spacing_mm": [2.0] * 3, "orientation": "LIA"}


@pytest.mark.parametrize("contrast", ("same", "inverted"))
def test_the_shipped_network_aligns_heads_of_any_contrast(shipped, contrast):
    moving, fixed = (phantom((64, 64, 64), seed) for seed in (1, 2))
    seen = np.where(moving.image > 0.05, 1.0 - moving.image, 0.0) if contrast == "inverted" else moving.image
    found = register_pair(
        shipped.for_shape(fixed.image.shape), seen[..., None].astype("float32"), fixed.image[..., None]
    )
    labels = metrics.labels_in(fixed.labels)
    before, after = (
        np.mean(list(metrics.dice(moved, fixed.labels, labels).values()))
        for moved in (moving.labels, warp_labels(moving.labels, found.displacement))
    )
    assert after > before + 0.05
    assert metrics.non_diffeomorphic_volume(found.displacement) < 1e-5


def test_slices_are_refused_by_a_network_for_volumes(shipped):
    images = [SpatialImage(np.zeros((24, 28, 1), "float32"), Grid((24, 28), np.eye(3))) for _ in range(2)]
    with pytest.raises(InputError, match="has 2 axes, but the network takes 3-D images. Name another --model, or none"):
        register_images(*images, shipped)
