"""Named settings."""

import pytest

from vxm_tf.models import PRESETS, VxmDense
from vxm_tf.models.presets import DENSE, preset


def full_grid_convolutions(network):
    """Output channels of the convolutions that run on the grid of the image, in order."""
    shape = network.settings["image_shape"]
    outputs = [layer.output.shape for layer in network.layers if hasattr(layer, "kernel_size")]
    return [size[-1] for size in outputs if tuple(size[1:-1]) == shape]


@pytest.mark.parametrize("name", DENSE)
def test_a_network_has_the_settings_of_its_preset(name):
    network = VxmDense.from_preset(name, (16, 32))
    assert {key: network.settings[key] for key in PRESETS[name]} == PRESETS[name]


def test_the_default_preset_is_the_default_network():
    assert VxmDense.from_preset("default", (16, 32)).settings == VxmDense((16, 32)).settings


def test_the_default_network_ends_with_four_convolutions_on_the_grid_of_the_image():
    assert full_grid_convolutions(VxmDense.from_preset("default", (16, 32))) == [16, 32, 16, 16, 2]


def test_the_fast_network_runs_one_convolution_on_the_grid_of_the_image():
    assert full_grid_convolutions(VxmDense.from_preset("fast", (16, 32))) == [16]


def test_the_fast_network_predicts_and_integrates_at_half_resolution():
    network = VxmDense.from_preset("fast", (16, 32), outputs=("velocity", "displacement"))
    assert network.output["velocity"].shape == (None, 8, 16, 2)
    assert network.output["displacement"].shape == (None, 16, 32, 2)


def test_overrides_come_before_the_preset():
    network = VxmDense.from_preset("fast", (16, 32), integration_steps=3, channels=2)
    assert network.settings["integration_steps"] == 3
    assert network.settings["channels"] == (2, 2)


def test_changing_the_settings_of_a_preset_leaves_the_preset_alone():
    preset("default")["integration_steps"] = 0
    assert preset("default")["integration_steps"] == 7


@pytest.mark.parametrize("function", [preset, lambda name: VxmDense.from_preset(name, (16, 32))])
def test_unknown_presets_are_refused(function):
    with pytest.raises(ValueError, match="There is no preset 'huge'; choose one of 'default', 'fast'"):
        function("huge")
