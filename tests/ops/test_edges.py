"""Edges, against NumPy's gradient."""

import numpy as np
import pytest

from vxm_tf import ops


def test_it_is_the_root_of_the_gradients_length_over_three_times_its_root_mean_square(any_shape, rng):
    image = rng.random((2, *any_shape, 2), dtype="float32")
    axes = tuple(range(1, len(any_shape) + 1))
    squares = sum(np.gradient(image, axis=axis) ** 2 for axis in axes)
    expected = np.sqrt(np.sqrt(squares) / (3.0 * np.sqrt(squares.mean(axis=axes, keepdims=True))))
    np.testing.assert_allclose(ops.edge_strength(image), expected, atol=5e-3)


def test_inverting_brightening_and_scaling_change_nothing(rng):
    image = np.asarray(ops.window_mean(rng.random((1, 20, 24, 1), dtype="float32"), 5))
    edges = ops.edge_strength(image)
    for other in (1.0 - image, 0.2 + image, 100.0 * image):
        np.testing.assert_allclose(ops.edge_strength(other), edges, atol=1e-3)


@pytest.mark.parametrize("value", (0.0, 0.7))
def test_a_flat_image_has_none(value):
    np.testing.assert_allclose(ops.edge_strength(np.full((1, 6, 7, 1), value, "float32")), 0.0, atol=1e-6)
