"""What the viewer reads is what the registration found, to a byte a voxel."""

import base64
import gzip
import json

import numpy as np
import pytest

from vxm_tf.report.viewer_data import packed, viewer_data


def unpacked(text, shape):
    """As the page does it: inflate, then add up neighbours."""
    codes = bytearray(gzip.decompress(base64.b64decode(text)))
    for i in range(1, len(codes)):
        codes[i] = (codes[i] + codes[i - 1]) % 256
    return np.frombuffer(bytes(codes), "uint8").reshape(shape, order="F")


def layer(said, name):
    found = said["layers"][name]
    codes = unpacked(found["data"], said["shape"]).astype("float64")
    return found["low"] + (found["high"] - found["low"]) * codes / 255


@pytest.fixture
def said(contents):
    shown = contents()
    return shown, json.loads(viewer_data(shown))


def test_what_is_packed_comes_out_again_first_axis_fastest(rng):
    codes = rng.integers(0, 256, (3, 4, 5)).astype("uint8")
    np.testing.assert_array_equal(unpacked(packed(codes), codes.shape), codes)


@pytest.mark.parametrize("name", ("moving", "fixed", "moved"))
def test_images_are_there_to_half_a_grey_level(said, name):
    shown, data = said
    np.testing.assert_allclose(layer(data, name), getattr(shown, name), atol=0.5 / 255 + 1e-6)


def test_displacements_are_there_in_voxels(said):
    shown, data = said
    step = 2 * np.abs(shown.displacement).max() / 255
    for axis in range(3):
        found = layer(data, f"displacement{axis}")
        np.testing.assert_allclose(found, shown.displacement[..., axis], atol=step / 2 + 1e-6)


def test_jacobian_determinants_are_there_as_logarithms_and_folds_as_0(contents, rng):
    determinant = np.exp2(rng.uniform(-1.9, 1.9, contents().fixed.shape))
    folded = np.zeros(determinant.shape, bool)
    folded[2, 3, 4] = True
    data = json.loads(viewer_data(contents(jacobian=determinant, folded=folded)))
    logarithm = layer(data, "jacobian")
    assert unpacked(data["layers"]["jacobian"]["data"], data["shape"])[2, 3, 4] == 0
    np.testing.assert_allclose(logarithm[~folded], np.log2(determinant)[~folded], atol=2 / 127 / 2 + 1e-6)


def test_a_determinant_of_nothing_or_less_folds(contents):
    determinant = np.ones(contents().fixed.shape)
    determinant[0, 0, :3] = 0.0, -2.0, np.nan
    data = json.loads(viewer_data(contents(jacobian=determinant)))
    codes = unpacked(data["layers"]["jacobian"]["data"], data["shape"])
    assert (codes == 0).sum() == 3 and (codes[0, 0, :3] == 0).all() and (codes[1] == 128).all()


def test_uncertainty_is_there_in_millimetres(contents, rng):
    spread = rng.random(contents().fixed.shape, "float32") * 3
    data = json.loads(viewer_data(contents(uncertainty_mm=spread)))
    np.testing.assert_allclose(layer(data, "uncertainty"), spread, atol=3 / 255)
    assert "uncertainty" not in json.loads(viewer_data(contents()))["layers"]


def test_an_uncertainty_of_0_everywhere_is_shown(contents):
    data = json.loads(viewer_data(contents(uncertainty_mm=np.zeros(contents().fixed.shape, "float32"))))
    assert not layer(data, "uncertainty").any()


def test_nothing_in_it_can_end_the_script_that_holds_it(contents):
    assert "<" not in viewer_data(contents())


def test_planes_name_axes_of_images_that_know_no_place(contents):
    names = [plane["name"] for plane in json.loads(viewer_data(contents(placed=False)))["planes"]]
    assert names == ["across axis 0", "across axis 1", "across axis 2"]
    said = json.loads(viewer_data(contents()))
    assert [plane["name"] for plane in said["planes"]] == ["axial", "coronal", "sagittal"]
