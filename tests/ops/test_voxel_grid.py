"""Indices of the voxel grid, and the shape that makes a tensor a field."""

import numpy as np
import pytest
import tensorflow as tf

from vxm_tf import ops
from vxm_tf.ops import voxel_grid as grid


def test_identity_grid_holds_the_index_of_every_voxel(any_shape, positions):
    np.testing.assert_array_equal(ops.identity_grid(any_shape), positions(any_shape))


def test_identity_grid_is_float32():
    assert ops.identity_grid((4, 5)).dtype == "float32"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_axis_indices_count_along_one_axis_and_broadcast_over_the_rest(axis):
    indices = np.asarray(grid.axis_indices(5, axis, 3))
    assert indices.shape == tuple(5 if position == axis + 1 else 1 for position in range(4))
    np.testing.assert_array_equal(indices.ravel(), range(5))


def test_check_field_gives_the_number_of_spatial_axes(any_shape, random_field):
    assert grid.check_field(random_field(any_shape)) == len(any_shape)


@pytest.mark.parametrize("bad", [(2, 15, 18, 3), (15, 18, 2), (15, 18), (2, 2)])
def test_check_field_refuses_another_number_of_components(bad):
    with pytest.raises(ValueError, match=r"A velocity has shape .*one component per spatial axis; got shape \(.*Add"):
        grid.check_field(np.zeros(bad), "velocity")


def test_only_spatial_and_channel_sizes_count_as_static():
    seen = []

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 5, 2)), tf.TensorSpec((2, None, 5, 2))])
    def trace(batch_unknown, size_unknown):
        seen.extend([grid.is_static(batch_unknown), grid.is_static(size_unknown), grid.is_static(np.zeros((1, 4)))])
        return batch_unknown

    trace.get_concrete_function()
    assert seen == [True, False, True]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8"])
def test_as_float32_converts_every_type(dtype):
    converted = grid.as_float32(np.array([1, 2], dtype))
    assert converted.dtype == "float32"
    np.testing.assert_array_equal(converted, [1.0, 2.0])
