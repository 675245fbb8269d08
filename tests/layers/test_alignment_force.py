"""The layer answers what the operation says."""

import keras
import numpy as np
import pytest

from vxm_tf import layers, ops


def test_it_lays_the_operations_answers_side_by_side(rng):
    first, second = rng.random((2, 3, 8, 10, 2), dtype="float32")
    found = np.asarray(layers.AlignmentForce(3, 0.2)(first, second))
    np.testing.assert_allclose(found[..., :2], ops.alignment_force(first, second, 3, 0.2)[0], atol=1e-6)
    np.testing.assert_allclose(found[..., 2:4], ops.alignment_force(second, first, 3, 0.2)[0], atol=1e-6)
    np.testing.assert_allclose(found[..., 4:], ops.alignment_force(first, second, 3, 0.2)[2], atol=1e-6)


@pytest.mark.parametrize(
    "shape, answer",
    (((4, 8, 10, 12, 1), (4, 4, 5, 6, 7)), ((None, None, 10, 1), (None, None, 5, 5))),
)
def test_its_shape_is_known_before_its_values(shape, answer):
    images = [keras.KerasTensor(shape) for _ in range(2)]
    assert layers.AlignmentForce()(*images).shape == answer
