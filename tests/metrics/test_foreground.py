"""What an image shows, found without knowing what it shows."""

import numpy as np

from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.metrics import dice, foreground


def test_a_head_is_found():
    individual = phantom((64, 64, 64), 3)
    found = foreground(individual.image)
    assert dice(found.astype(int), (individual.labels > 0).astype(int), [1])[1] > 0.95


def test_holes_belong_to_it():
    image = np.ones((20, 24))
    image[:4], image[-4:], image[:, :4], image[:, -4:], image[9:12, 10:13] = 0.0, 0.0, 0.0, 0.0, 0.0
    found = foreground(image)
    assert found[10, 11] and not found[0].any()


def test_a_constant_image_shows_nothing():
    assert not foreground(np.full((5, 6), 0.7)).any()


def test_a_dark_object_before_a_bright_background_is_found(rng):
    slide = 0.97 + 0.01 * rng.normal(size=(40, 50))
    slide[12:30, 8:41] = 0.3 + 0.3 * rng.random((18, 33))
    expected = np.zeros((40, 50), bool)
    expected[12:30, 8:41] = True
    assert dice(foreground(slide).astype(int), expected.astype(int), [1])[1] > 0.9
