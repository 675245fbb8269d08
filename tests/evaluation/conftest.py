"""A network whose answer is known: a constant displacement."""

import numpy as np
import pytest

from vxm_tf.models import VxmDense


@pytest.fixture
def constant_network():
    """constant_network(image_shape, displacement, channels): answers `displacement` everywhere."""

    def make(image_shape, displacement, channels=1):
        settings = {"integration_resolution": 1, "integration_steps": 0}
        network = VxmDense(image_shape, channels=channels, features=((4,), (4,)), **settings)
        kernel, _ = network.get_layer("flow").get_weights()
        network.get_layer("flow").set_weights([np.zeros_like(kernel), np.array(displacement, "float32")])
        return network

    return make
