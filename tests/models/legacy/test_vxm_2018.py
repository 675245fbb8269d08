"""The networks of 2018 themselves."""

import numpy as np
import pytest

from vxm_tf.models import Vxm2018

ENCODER = (16, 32, 32, 32)


@pytest.mark.parametrize(
    ("decoder", "count"),
    [
        ((32, 32, 32, 32, 8, 8), 259_675),
        ((32, 32, 32, 32, 32, 16, 16), 300_547),
        # The published 266,374 with the log-variance head, 1,299, left out.
        ((32, 32, 32, 32, 16), 265_075),
    ],
)
def test_parameters_are_those_of_the_papers(decoder, count):
    assert Vxm2018((32, 16, 16), features=(ENCODER, decoder)).count_params() == count


def test_a_short_decoder_predicts_at_half_resolution(rng):
    network = Vxm2018((32, 48), features=((4, 4, 4, 4), (4, 4, 4, 4, 4)), integration_steps=3, outputs="velocity")
    images = {name: rng.random((1, 32, 48, 1), "float32") for name in ("moving", "fixed")}
    assert network(images)["velocity"].shape == (1, 16, 24, 2)


@pytest.mark.parametrize("decoder", [(4,) * 5, (4,) * 6, (4,) * 7])
def test_images_of_any_shape_are_padded_and_cropped(decoder, shape, rng):
    network = Vxm2018(shape, channels=(2, 1), features=((4, 4, 4, 4), decoder), integration_steps=1)
    images = {n: rng.random((2, *shape, c), "float32") for n, c in (("moving", 2), ("fixed", 1))}
    answer = network(images)
    assert answer["displacement"].shape == (2, *shape, len(shape))
    assert answer["moved"].shape == (2, *shape, 2)
    assert np.isfinite(answer["displacement"]).all()


@pytest.mark.parametrize("features", [((4, 4, 4), (4,) * 5), ((4,) * 4, (4,) * 4), ((4,) * 4, (4,) * 8)])
def test_features_that_make_no_such_network_are_refused(features):
    with pytest.raises(ValueError, match="4 encoder and 5, 6 or 7 decoder"):
        Vxm2018((16, 16), features=features)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="resize_rule is one of 'areas', 'corners', 'origin'; got 'old'"):
        Vxm2018((16, 16), resize_rule="old")
