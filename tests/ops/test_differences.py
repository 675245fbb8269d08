"""Finite differences against NumPy."""

import numpy as np
import pytest

from vxm_tf import ops
from vxm_tf.ops import differences

AXES = pytest.mark.parametrize("axis", [1, 2, 3])


@pytest.fixture
def tensor(rng):
    return rng.normal(size=(2, 5, 6, 7, 3)).astype("float32")


@AXES
def test_forward_differences_are_those_of_numpy(tensor, axis):
    np.testing.assert_array_equal(ops.forward_differences(tensor, axis), np.diff(tensor, axis=axis))


@AXES
def test_second_differences_are_those_of_numpy(tensor, axis):
    np.testing.assert_allclose(ops.second_differences(tensor, axis), np.diff(tensor, 2, axis=axis), atol=1e-6)


@AXES
def test_central_differences_are_those_of_numpy(tensor, axis):
    np.testing.assert_allclose(differences.central_differences(tensor, axis), np.gradient(tensor, axis=axis), atol=1e-6)


def test_central_differences_of_two_voxels_are_their_one_step():
    values = np.array([1.0, 4.0]).reshape(1, 2, 1)
    np.testing.assert_array_equal(np.ravel(differences.central_differences(values, 1)), [3.0, 3.0])


@AXES
def test_shifted_is_a_slice_of_one_axis(tensor, axis):
    expected = np.take(tensor, range(1, tensor.shape[axis] - 2), axis)
    np.testing.assert_array_equal(differences.shifted(tensor, axis, 1, -2), expected)


def test_laplacian_is_what_a_voxel_lacks_of_its_neighbours(tensor):
    expected = np.zeros_like(tensor)
    for axis in (1, 2, 3):
        for step in (-1, 1):
            index = np.clip(np.arange(tensor.shape[axis]) + step, 0, tensor.shape[axis] - 1)
            expected += np.take(tensor, index, axis) - tensor
    np.testing.assert_allclose(differences.laplacian(tensor), expected, atol=1e-5)
