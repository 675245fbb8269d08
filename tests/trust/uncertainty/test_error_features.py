"""Each feature against what it is about."""

import numpy as np
import pytest

from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.trust.uncertainty.error_features import FLOOR, error_features

SHAPE = (48, 56)


def features(moving, fixed, displacement=None, spread=None):
    displacement = np.zeros((*SHAPE, 2), "float32") if displacement is None else displacement
    return error_features(moving, fixed, displacement, np.full(SHAPE, 0.5) if spread is None else spread)


@pytest.fixture
def image():
    return phantom(SHAPE, 1).image[..., None]


def test_all_are_finite_maps_even_of_blank_images(image):
    for pair in ((image, image), (np.zeros_like(image), np.zeros_like(image))):
        for values in features(*pair).values():
            assert values.shape == SHAPE and values.dtype == "float32" and np.isfinite(values).all()


def test_a_constant_spread_is_itself(image):
    np.testing.assert_allclose(features(image, image)["spread"], np.log(0.5 + FLOOR), rtol=1e-5)


def test_detail_heeds_no_shift_but_a_bump(image):
    shift = np.full((*SHAPE, 2), 7.0, "float32")
    np.testing.assert_allclose(features(image, image, shift)["detail"], np.log(FLOOR), atol=0.05)
    bump = np.zeros((*SHAPE, 2), "float32")
    bump[20:28, 20:28] = 3.0
    detail = features(image, image, bump)["detail"]
    assert detail[24, 24] > np.log(1.0) and detail[24, 24] > detail[24, 50] + 1.0


def test_misfit_is_of_the_moved_image(image):
    displacement = np.zeros((*SHAPE, 2), "float32")
    displacement[..., 0] = -3.0
    moving = np.roll(image, -3, axis=0)
    apart, together = features(moving, image)["misfit"], features(moving, image, displacement)["misfit"]
    assert together[10:-10, 10:-10].mean() < apart[10:-10, 10:-10].mean() - 1.0


def test_an_edge_has_no_texture_and_a_corner_has(image):
    edge, corner = np.zeros((2, *SHAPE, 1), "float32")
    edge[24:] = 1.0
    corner[24:, 28:] = 1.0
    of_edge, of_corner = features(edge, edge), features(corner, corner)
    assert of_edge["edge"][24, 28] > np.log(0.05) > np.log(0.01) > of_edge["texture"][24, 28]
    assert of_corner["texture"][24, 28] > np.log(0.02)


def test_two_channels_that_are_alike_are_as_good_as_one(image):
    both = np.concatenate([image, image], axis=-1)
    for name, values in features(both, both).items():
        np.testing.assert_allclose(values, features(image, image)[name], atol=1e-4, err_msg=name)


def test_channels_that_sum_to_one_have_edges_and_misfit(image):
    """The mean of such channels, tissue probabilities, is constant."""
    shifted = np.roll(image, 4, axis=0)
    maps, others = (np.concatenate([values, 1.0 - values], axis=-1) for values in (image, shifted))
    answer, alone = features(maps, others), features(image, shifted)
    for name in ("edge", "texture", "misfit"):
        np.testing.assert_allclose(answer[name], alone[name], atol=0.02, err_msg=name)


def test_images_of_unlike_numbers_of_channels_have_features(image):
    both = np.concatenate([np.zeros_like(image), image], axis=-1)
    np.testing.assert_allclose(features(both, image)["misfit"], features(image, image)["misfit"], atol=1e-3)


def test_detail_is_measured_in_the_unit_of_the_spread(image):
    bump = np.zeros((*SHAPE, 2), "float32")
    bump[20:28, 20:28, 1] = 3.0
    spread, stretched = np.full(SHAPE, 0.5), bump * np.array([0.5, 2.0], "float32")
    answer = error_features(image, image, bump, spread, np.diag([0.5, 2.0]))["detail"]
    np.testing.assert_allclose(answer, features(image, image, stretched)["detail"], atol=1e-4)
