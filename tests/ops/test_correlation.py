"""Local correlation against loops."""

import itertools

import numpy as np
import pytest

from vxm_tf import ops


@pytest.mark.parametrize("shape", ((7,), (5, 6), (4, 5, 3)))
@pytest.mark.parametrize("radius", (0, 1, 2))
def test_it_is_the_mean_product_at_every_shift(rng, shape, radius):
    first, second = rng.standard_normal((2, 2, *shape, 3)).astype("float32")
    found = np.asarray(ops.local_correlation(first, second, radius))
    shifts = list(itertools.product(range(-radius, radius + 1), repeat=len(shape)))
    assert found.shape == (2, *shape, len(shifts))
    for item, voxel in itertools.product(range(2), np.ndindex(shape)):
        for number, shift in enumerate(shifts):
            there = tuple(np.add(voxel, shift))
            inside = all(0 <= index < size for index, size in zip(there, shape))
            other = second[(item, *there)] if inside else np.zeros(3)
            assert found[(item, *voxel, number)] == pytest.approx(np.mean(first[(item, *voxel)] * other), abs=1e-6)


@pytest.mark.parametrize(
    "shapes, radius, message",
    (
        (((1, 5, 2), (1, 5, 3)), 1, "equal channels; got shapes"),
        (((1, 5, 2), (1, 5, 5, 2)), 1, "equal channels; got shapes"),
        (((1, 5, 2), (1, 5, 2)), -1, "0 or more voxels; got -1"),
    ),
)
def test_what_cannot_be_correlated_is_refused(shapes, radius, message):
    with pytest.raises(ValueError, match=message):
        ops.local_correlation(*(np.zeros(shape, "float32") for shape in shapes), radius)
