"""Zeros after the end of every axis."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vxm_tf.layers import PadToMultiple


@pytest.mark.parametrize("multiple", [2, 8, 16])
def test_zeros_follow_the_image_up_to_the_next_multiple(any_shape, rng, multiple):
    image = rng.random((2, *any_shape, 3), "float32") + 1.0
    padded = np.asarray(PadToMultiple(multiple)(image))
    expected = np.zeros((2, *(-(-size // multiple) * multiple for size in any_shape), 3), "float32")
    expected[(slice(None), *(slice(size) for size in any_shape))] = image
    np.testing.assert_array_equal(padded, expected)


@pytest.mark.parametrize("multiple", [1, 3])
def test_an_image_that_fits_is_not_changed(rng, multiple):
    image = rng.random((1, 15, 18, 1), "float32")
    np.testing.assert_array_equal(PadToMultiple(multiple)(image), image)


@pytest.mark.parametrize("multiple", [1, 4, 16])
def test_the_announced_shape_is_the_shape_of_the_output(shape, multiple):
    layer, image = PadToMultiple(multiple), np.zeros((2, *shape, 3), "float32")
    assert layer.compute_output_shape(image.shape) == tuple(layer(image).shape)


def test_unknown_sizes_stay_unknown():
    assert PadToMultiple(16).compute_output_shape((None, None, 18, 1)) == (None, None, 32, 1)


@pytest.mark.parametrize("multiple", [0, -4])
def test_multiples_below_one_are_refused(multiple):
    with pytest.raises(ValueError, match=f"multiple of at least 1; got {multiple}"):
        PadToMultiple(multiple)


def test_a_convolution_of_padded_volumes_is_the_same_in_a_graph(rng):
    """TensorFlow on a CPU with oneDNN merges a plain Pad with a Conv3D and then takes "same" for "valid"."""
    image = rng.random((1, 9, 10, 11, 2), "float32")
    layer, convolution = PadToMultiple(4), keras.layers.Conv3D(3, 3, padding="same")
    eager = convolution(layer(image))
    np.testing.assert_allclose(tf.function(lambda image: convolution(layer(image)))(image), eager, atol=1e-5)
