"""Local means against a loop over voxels."""

import numpy as np
import pytest
import tensorflow as tf

from vxm_tf import ops

WINDOWS = pytest.mark.parametrize("window", [1, 3, 5, 9, 21])


def box(index, window):
    """Slices of the voxels around an index that lie inside the image."""
    return tuple(slice(max(i - window // 2, 0), i + window // 2 + 1) for i in index)


@WINDOWS
def test_window_mean_at_every_voxel_is_the_mean_over_its_box(any_shape, rng, window):
    """A window of 21 exceeds every axis."""
    tensor = rng.normal(size=(1, *any_shape, 2)).astype("float32")
    expected = np.empty_like(tensor)
    for index in np.ndindex(any_shape):
        expected[0][index] = tensor[0].astype("float64")[box(index, window)].reshape(-1, 2).mean(axis=0)
    np.testing.assert_allclose(ops.window_mean(tensor, window), expected, atol=1e-5)


def test_a_window_of_one_changes_nothing(shape, rng):
    tensor = rng.normal(size=(2, *shape, 2)).astype("float32")
    np.testing.assert_array_equal(ops.window_mean(tensor, 1), tensor)


@WINDOWS
def test_the_mean_of_a_constant_is_that_constant_at_the_corners_too(any_shape, window):
    tensor = np.full((1, *any_shape, 1), 3.0, "float32")
    np.testing.assert_allclose(ops.window_mean(tensor, window), tensor, rtol=1e-6)


def test_batch_items_and_channels_are_averaged_on_their_own(shape, rng):
    tensor = rng.normal(size=(2, *shape, 2)).astype("float32")
    alone = [[ops.window_mean(tensor[i : i + 1, ..., c : c + 1], 5)[0, ..., 0] for c in range(2)] for i in range(2)]
    np.testing.assert_allclose(ops.window_mean(tensor, 5), np.moveaxis(np.array(alone), 1, -1), atol=1e-6)


def test_unknown_sizes_give_the_same_mean(shape, rng):
    tensor = rng.normal(size=(2, *shape, 2)).astype("float32")
    signature = [tf.TensorSpec([None] * tensor.ndim)]
    mean = tf.function(lambda t: ops.window_mean(t, 9), input_signature=signature)(tensor)
    np.testing.assert_allclose(mean, ops.window_mean(tensor, 9), atol=1e-6)


def test_gradient_of_window_mean(shape, rng, check_gradient):
    check_gradient(lambda tensor: ops.window_mean(tensor, 5), rng.normal(size=(2, *shape, 2)).astype("float32"))


@pytest.mark.parametrize("window", [0, -3, 2, 8])
def test_windows_without_a_centre_are_refused(window):
    with pytest.raises(ValueError, match=f"edge is odd and at least 1; got {window}"):
        ops.window_mean(np.zeros((1, 4, 5, 1)), window)
