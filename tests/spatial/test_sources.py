"""Images as users pass them: an unusable one is named by its role."""

import numpy as np
import pytest

from vxm_tf.files.errors import InputError
from vxm_tf.spatial import Grid, SpatialImage
from vxm_tf.spatial.sources import open_pair

IMAGE = SpatialImage(np.arange(20, dtype="float32").reshape(4, 5), Grid((4, 5), np.eye(3)))


@pytest.mark.parametrize("source, message", [("", "moving image is empty"), (IMAGE.array, "moving image is a path")])
def test_an_unusable_source_is_named_by_its_role(source, message):
    with pytest.raises(InputError, match=message):
        open_pair(source, IMAGE)


def test_images_in_memory_get_an_axis_of_channels():
    moving, fixed = open_pair(IMAGE, IMAGE)
    np.testing.assert_array_equal(moving.array, IMAGE.array[..., None])
    assert fixed.grid is IMAGE.grid
