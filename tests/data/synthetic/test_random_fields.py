"""Smooth random fields: their size, their smoothness, and that displacements fold nowhere."""

import numpy as np
import pytest

from vxm_tf import metrics
from vxm_tf.data.synthetic.random_fields import random_affine, random_displacement, random_series


@pytest.mark.parametrize("basis", (np.sin, np.cos))
def test_a_series_has_unit_root_mean_square(basis):
    sizes = [random_series(np.random.default_rng(k), (64, 80), basis, scales=(0.1,)).std() for k in range(20)]
    assert np.mean(sizes) == pytest.approx(1.0, abs=0.1)


def test_a_series_of_sines_vanishes_on_the_border():
    series = random_series(np.random.default_rng(0), (20, 24), np.sin, scales=(0.1,))
    for edge in (series[0], series[-1], series[:, 0], series[:, -1]):
        np.testing.assert_allclose(edge, 0.0, atol=1e-12)


def test_one_seed_is_one_field_at_every_size():
    fine, coarse = (random_series(np.random.default_rng(3), (n, n), np.cos, scales=(0.2,)) for n in (65, 33))
    np.testing.assert_allclose(fine[::2, ::2], coarse, atol=1e-12)


@pytest.mark.parametrize("shape", ((40,), (40, 48), (20, 24, 28)))
@pytest.mark.parametrize("magnitude", (1.0, 1000.0))
def test_displacements_never_fold(shape, magnitude):
    for seed in range(5):
        field = random_displacement(np.random.default_rng(seed), shape, magnitude)
        assert field.shape == (*shape, len(shape)) and field.dtype == np.float32
        assert metrics.fold_fraction(field) == 0.0
        assert metrics.jacobian_determinant(field).min() > 0.0


def test_a_small_displacement_has_the_length_that_was_asked_for():
    lengths = [random_displacement(np.random.default_rng(k), (60, 70), 0.5) for k in range(20)]
    assert np.sqrt(np.mean(np.square(lengths).sum(-1))) == pytest.approx(0.5, rel=0.1)


def test_no_magnitude_is_no_displacement():
    assert not random_displacement(np.random.default_rng(0), (20, 24), 0.0).any()


def test_an_affine_without_variation_is_the_identity():
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(random_affine(rng, 3, degrees=0.0, scale=0.0, shear=0.0), np.eye(3), atol=1e-12)


def test_a_rotation_alone_keeps_lengths():
    matrix = random_affine(np.random.default_rng(0), 3, degrees=20.0, scale=0.0, shear=0.0)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0) and not np.allclose(matrix, np.eye(3), atol=0.1)


def test_scales_multiply_the_volume():
    logarithms = [
        np.log(np.linalg.det(random_affine(np.random.default_rng(k), 2, degrees=5.0, scale=0.1, shear=0.3)))
        for k in range(400)
    ]
    assert np.std(logarithms) == pytest.approx(0.1 * 2**0.5, rel=0.15)
