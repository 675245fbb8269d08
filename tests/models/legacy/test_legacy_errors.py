"""Files that cannot be adopted: what is wrong, and what to do."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from vxm_tf.models.legacy import LegacyFileError, load_legacy

FILES = Path(__file__).parent / "files"
ORIGINAL = FILES / "int_steps_0.h5"


def refused(path, match, **settings):
    with pytest.raises(LegacyFileError, match=match) as caught:
        load_legacy(path, **settings)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("fraction", (0.0, 0.01, 0.3, 0.6, 0.99))
def test_a_truncated_file(tmp_path, fraction):
    content = ORIGINAL.read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(content[: int(fraction * len(content))])
    refused(path, "truncated.*download it again")


def test_a_missing_file(tmp_path):
    refused(tmp_path / "none.h5", "no such file")


def test_a_text_file(tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("not a network")
    refused(path, "expected .h5")


def test_a_file_of_another_project(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["spectra"] = np.zeros(3)
    refused(path, "no Keras 2 model.*spectra.*Expected a file that VoxelMorph")


def test_a_network_without_convolutions(tmp_path):
    path = tmp_path / "dense.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["dense"]
        file["dense/kernel:0"] = np.zeros((3, 4))
        file["dense"].attrs["weight_names"] = ["kernel:0"]
    refused(path, "no convolution")


def test_a_keras_file_needs_no_conversion(tmp_path):
    path = tmp_path / "new.keras"
    path.touch()
    refused(path, "needs no conversion")


@pytest.fixture
def changed(tmp_path):
    """changed(edit): a copy of a whole model after `edit(file)`."""

    def make(edit):
        path = shutil.copy(ORIGINAL, tmp_path / "changed.h5")
        with h5py.File(path, "r+") as file:
            edit(file)
        return path

    return make


def test_weights_that_are_not_finite(changed):
    def spoil(file):
        group = file["model_weights/vxm_dense_flow"]
        group[group.attrs["weight_names"][0]][0] = np.nan

    refused(changed(spoil), "not finite")


def test_a_layer_that_is_listed_but_missing(changed):
    def remove(file):
        del file["model_weights/vxm_dense_flow"]

    refused(changed(remove), "vxm_dense_flow")


def test_another_kind_of_network(changed):
    def rename(file):
        file.attrs["model_config"] = file.attrs["model_config"].replace('"VxmDense"', '"TemplateCreation"')

    refused(changed(rename), "TemplateCreation.*none of VoxelMorph's registration networks")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"architecture": {"nb_unet_features": [[4, 7], [6, 4, 4]]}}, "tensor 3 has shape .*check --architecture"),
        ({"architecture": {"nb_unet_features": [[4, 6], [6, 4, 4, 4]]}}, "check --architecture"),
        ({"architecture": {"hyp_model": {}}}, "hyper-network"),
        ({"architecture": {"inshapes": [1]}}, "unknown constructor arguments inshapes"),
        ({"architecture": {"inshape": [8, 12, 16, 3]}}, "1 to 3 spatial sizes"),
        ({"architecture": {"int_steps": 7, "int_resolution": 3}}, "power of two"),
        ({"indexing": "xy"}, "--indexing xy concerns networks of 2018"),
        ({"use_miccai_int": True}, "--use_miccai_int concerns networks of 2018"),
    ],
)
def test_arguments_that_do_not_belong_to_the_file(settings, says):
    refused(ORIGINAL, says, **settings)


def test_an_unknown_indexing():
    with pytest.raises(LegacyFileError, match="ij or xy; got 'yx'"):
        load_legacy(ORIGINAL, indexing="yx")
