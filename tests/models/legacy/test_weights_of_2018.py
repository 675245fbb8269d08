"""Weights alone of networks of 2018, without the published files; and files that lack or break something."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from vxm_tf.models import Vxm2018
from vxm_tf.models.legacy import LegacyFileError, load_legacy

FILES = Path(__file__).parent / "files"
MICCAI = {"features": ((4, 5, 6, 7), (8, 6, 5, 4, 3)), "integration_steps": 7}
CVPR = {"features": ((4, 5, 6, 7), (8, 6, 5, 4, 3, 4, 3))}
# A random network aligns nothing, which conversion tells.
pytestmark = pytest.mark.filterwarnings("ignore:.*on a synthetic pair")


@pytest.fixture
def stored(tmp_path):
    """stored(network) -> its weights alone, as Keras 2 writes them."""

    def write(network):
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            holders = [layer for layer in network.layers if layer.weights]
            file.attrs["layer_names"] = [layer.name.encode() for layer in holders]
            for layer in holders:
                for kind, array in zip(("kernel:0", "bias:0"), layer.get_weights(), strict=True):
                    file[f"{layer.name}/{kind}"] = array
                file[layer.name].attrs["weight_names"] = [b"kernel:0", b"bias:0"]
        return tmp_path / "weights.h5"

    return write


def random_network(settings):
    network = Vxm2018((None,) * 3, **settings)
    rng = np.random.default_rng(1)
    network.set_weights([rng.normal(0, 0.02, array.shape).astype("float32") for array in network.get_weights()])
    return network


@pytest.mark.parametrize("settings, flags", [(CVPR, {}), (MICCAI, {"use_miccai_int": False})], ids=["CVPR", "MICCAI"])
def test_weights_alone_spell_out_their_network(settings, flags, stored):
    network = random_network(settings)
    again = load_legacy(stored(network), indexing="ij", **flags)
    assert again.settings == network.settings
    for ours, expected in zip(again.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_a_head_stored_as_xy_has_its_first_two_shifts_exchanged(stored):
    network = random_network(CVPR)
    again = load_legacy(stored(network), indexing="xy")
    for ours, old in zip(again.get_weights()[-2:], network.get_weights()[-2:], strict=True):
        np.testing.assert_array_equal(ours, old[..., [1, 0, 2]])
    for ours, old in zip(again.get_weights()[:-2], network.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(ours, old)


@pytest.mark.parametrize("steps", [7, 5])
def test_an_undivided_velocity_is_multiplied_by_two_to_the_steps(steps, stored):
    network = random_network(MICCAI)
    again = load_legacy(stored(network), indexing="ij", use_miccai_int=True, architecture={"int_steps": steps})
    assert again.settings["integration_steps"] == steps
    for ours, old in zip(again.get_weights()[-2:], network.get_weights()[-2:], strict=True):
        np.testing.assert_array_equal(ours, old * 2**steps)
    for ours, old in zip(again.get_weights()[:-2], network.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(ours, old)


@pytest.mark.parametrize(
    "settings, flags, message",
    [
        (CVPR, {}, "--indexing ij, or --indexing xy"),
        (CVPR, {"indexing": "ij", "use_miccai_int": True}, "integrates nothing. Leave --use_miccai_int out"),
        (MICCAI, {"indexing": "ij"}, "--nouse_miccai_int .*or --use_miccai_int"),
        (CVPR, {"indexing": "ij", "architecture": {"src_feats": 3}}, "takes 2 channels.*src_feats and trg_feats"),
        (CVPR, {"indexing": "ij", "architecture": {"inshap": [8, 8]}}, "unknown constructor arguments inshap"),
        (CVPR, {"indexing": "ij", "architecture": {"inshape": [16, 16]}}, "shape"),
        (MICCAI, {"indexing": "ij", "use_miccai_int": False, "architecture": {"int_steps": 0}}, "int_steps"),
    ],
)
def test_flags_that_are_missing_or_wrong_are_refused(settings, flags, message, stored):
    with pytest.raises(LegacyFileError, match=message):
        load_legacy(stored(random_network(settings)), **flags)


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copy(FILES / "no_final.h5", tmp_path / "model.h5"))


def test_a_file_that_lacks_a_tensor_is_refused_by_the_numbers(copy):
    with h5py.File(copy, "r+") as file:
        layers = file["model_weights"]
        group = [layers[n] for n in layers.attrs["layer_names"] if len(layers[n].attrs["weight_names"])][-1]
        group.attrs["weight_names"] = group.attrs["weight_names"][:1]
    with pytest.raises(LegacyFileError, match="holds 9 tensors.* 10 are needed.*--architecture"):
        load_legacy(copy)


@pytest.mark.parametrize("config", [b"{broken", b"[1, 2]", b"null", b'"text"', b'{"config": 3}'])
def test_a_broken_configuration_is_an_error_of_one_sentence(copy, config):
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = config
    with pytest.raises(LegacyFileError):
        load_legacy(copy)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"inshape": None}, "spatial shape is missing"),
        ({"nb_unet_features": 4}, "nb_unet_levels must be given"),
        ({"int_downsize": 3}, "integration_resolution"),
        ({"inshape": [8, 12, 16, 4]}, "1 to 3 spatial sizes"),
        ({"src_feats": 2}, "tensor 1 has shape"),
        ({"nb_unet_features": "many"}, "make no network"),
        ({"inshape": 5}, ""), ({"int_steps": None}, ""), ({"int_steps": "x"}, ""), ({"svf_resolution": "x"}, ""),
    ],
)  # fmt: skip
def test_arguments_that_make_no_such_network_are_refused(arguments, message):
    with pytest.raises(LegacyFileError, match=message):
        load_legacy(FILES / "no_final.h5", architecture=arguments)
