"""The picture of a registration shows what it says."""

import numpy as np
import pytest
from skimage.io import imread

from vxm_tf.report import registration_panel, write_picture
from vxm_tf.report.panel import GAP, GRID_STEP

PANES = ("moving", "fixed", "moved", "grid", "before", "after")


def panes(picture, shape, zoom):
    """{name: grey pane} of the first row: a 2-D image as it is, axis 0 of a 3-D one with its last axis upright."""
    height, width = (zoom * size for size in (shape if len(shape) == 2 else shape[:0:-1]))
    assert picture.dtype == np.uint8
    cut = [picture[:height, k * (width + GAP) : k * (width + GAP) + width] for k in range(6)]
    assert all((pane == pane[..., :1]).all() for pane in cut)
    return {name: pane[..., 0] for name, pane in zip(PANES, cut, strict=True)}


@pytest.fixture
def image(rng, shape):
    return rng.random((*shape, 1), dtype="float32")


def identity(shape):
    return np.zeros((*shape, len(shape)), "float32")


def test_identical_images_have_empty_differences(image, shape):
    shown = panes(registration_panel(image, image, image, identity(shape)), shape, 2)
    assert not shown["before"].any() and not shown["after"].any()
    assert shown["moving"].any()


def test_the_differences_are_those_before_and_after(shape):
    grey = [np.full((*shape, 1), value, "float32") for value in (0.2, 0.6, 0.5)]
    shown = panes(registration_panel(*grey, identity(shape)), shape, 2)
    np.testing.assert_allclose(shown["before"], 255 * 0.4, atol=1)
    np.testing.assert_allclose(shown["after"], 255 * 0.1, atol=1)


def test_images_beyond_0_to_1_are_clipped(shape):
    bright, dark = np.full((*shape, 1), 7.0), np.full((*shape, 1), -7.0)
    shown = panes(registration_panel(bright, dark, bright, identity(shape)), shape, 2)
    assert (shown["moving"] == 255).all() and not shown["fixed"].any()


@pytest.mark.parametrize("zoom", (1, 3))
def test_a_2_d_image_gives_one_row_of_six_panes(rng, zoom):
    image = rng.random((15, 18, 1))
    picture = registration_panel(image, image, image, identity((15, 18)), zoom=zoom)
    assert picture.shape == (15 * zoom, 6 * 18 * zoom + 5 * GAP, 3)


def test_a_3_d_image_gives_one_row_for_each_axis(rng):
    image = rng.random((9, 10, 11, 1))
    picture = registration_panel(image, image, image, identity((9, 10, 11)), zoom=2)
    assert picture.shape == (2 * (11 + 11 + 10) + 2 * GAP, 2 * 6 * 10 + 5 * GAP, 3)


def test_a_2_d_image_is_shown_as_it_is_stored(rng):
    image = rng.random((15, 18, 1))
    shown = panes(registration_panel(image, image, image, identity((15, 18)), zoom=1), (15, 18), 1)
    np.testing.assert_allclose(shown["moving"], 255 * image[..., 0], atol=1)


def test_the_middle_slice_is_shown_with_its_last_axis_upwards():
    image = np.zeros((9, 10, 11, 1))
    image[4, 2, 10] = 1.0
    shown = panes(registration_panel(image, image, image, identity((9, 10, 11)), zoom=1), (9, 10, 11), 1)
    assert np.argwhere(shown["moving"]).tolist() == [[0, 2]]


def test_the_first_channel_is_shown(rng, shape):
    image = rng.random((*shape, 2), dtype="float32")
    both, first = (registration_panel(i, i, i, identity(shape)) for i in (image, image[..., :1]))
    np.testing.assert_array_equal(both, first)


def test_the_grid_of_an_identity_is_straight():
    shape = (33, 34)
    image = np.zeros((*shape, 1))
    grid = panes(registration_panel(image, image, image, identity(shape), zoom=1), shape, 1)["grid"]
    expected = np.zeros(shape, "uint8")
    expected[::GRID_STEP], expected[:, ::GRID_STEP] = 255, 255
    np.testing.assert_array_equal(grid, expected)


def test_the_grid_moves_with_a_constant_displacement():
    shape = (33, 34)
    image, displacement = np.zeros((*shape, 1)), identity(shape)
    displacement[..., 0] = 3.0
    grid = panes(registration_panel(image, image, image, displacement, zoom=1), shape, 1)["grid"]
    rows = np.flatnonzero((grid == 255).all(axis=1))
    # Where the moving image's index, x + 3, is a multiple of the step.
    np.testing.assert_array_equal(rows, np.arange(GRID_STEP - 3, 33, GRID_STEP))


def test_a_picture_is_written_as_png(tmp_path, rng):
    picture = rng.integers(0, 255, (20, 30, 3)).astype("uint8")
    write_picture(tmp_path / "deep" / "picture.png", picture)
    np.testing.assert_array_equal(imread(tmp_path / "deep" / "picture.png"), picture)
