"""The first voxels of every axis, as many as the reference has."""

import numpy as np
import pytest

from vxm_tf.layers import CropLike, PadToMultiple


def test_the_first_voxels_of_every_axis_remain(any_shape, rng):
    tensor = rng.random((2, *(size + 3 + axis for axis, size in enumerate(any_shape)), 4), "float32")
    cropped = CropLike()(tensor, np.zeros((2, *any_shape, 1), "float32"))
    np.testing.assert_array_equal(cropped, tensor[(slice(None), *(slice(size) for size in any_shape))])


@pytest.mark.parametrize("multiple", [1, 16])
def test_it_undoes_padding(shape, rng, multiple):
    image = rng.random((2, *shape, 3), "float32")
    np.testing.assert_array_equal(CropLike()(PadToMultiple(multiple)(image), image), image)


def test_the_announced_shape_has_the_sizes_of_the_reference_and_the_channels_of_the_tensor():
    assert CropLike().compute_output_shape((None, 16, 32, 2), (None, 15, None, 1)) == (None, 15, None, 2)
