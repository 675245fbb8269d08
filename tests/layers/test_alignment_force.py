"""The layer answers what the operation says."""

import keras
import numpy as np
import pytest

from vxm_tf import layers, ops


def test_it_answers_as_the_operation(rng):
    images = rng.random((2, 3, 8, 10, 2), dtype="float32")
    displacement = rng.random((3, 4, 5, 2), dtype="float32")
    found = layers.AlignmentForce(3)(*images, displacement)
    np.testing.assert_allclose(found, ops.alignment_force(*images, displacement, 3), atol=1e-6)


@pytest.mark.parametrize(
    "shape, answer",
    (((4, 8, 10, 12, 1), (4, 4, 5, 6, 3)), ((None, None, 10, 1), (None, None, 5, 2))),
)
def test_its_shape_is_known_before_its_values(shape, answer):
    tensors = [keras.KerasTensor(each) for each in (shape, shape, answer)]
    assert layers.AlignmentForce()(*tensors).shape == answer
