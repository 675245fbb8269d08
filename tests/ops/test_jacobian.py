"""Jacobian determinants of hand-written fields."""

import numpy as np
import pytest

from vxm_tf import ops


def test_no_displacement_keeps_every_volume(any_shape):
    determinant = ops.jacobian_determinant(np.zeros((2, *any_shape, len(any_shape)), "float32"))
    np.testing.assert_array_equal(determinant, np.ones((2, *any_shape)))


def test_a_linear_field_has_one_determinant_everywhere_faces_included(any_shape, rng, positions):
    ndim = len(any_shape)
    matrix = rng.normal(0, 0.3, (ndim, ndim))
    field = (positions(any_shape) @ matrix.T)[None].astype("float32")
    expected = np.full((1, *any_shape), np.linalg.det(np.eye(ndim) + matrix))
    np.testing.assert_allclose(ops.jacobian_determinant(field), expected, atol=1e-4)


def test_a_quadratic_field_has_the_determinant_written_by_hand_away_from_the_faces(positions):
    """u = (x^2 / 40 + y / 5, x y / 30): det = (1 + x / 20) (1 + x / 30) - y / 150; x y has no x-y mix-up."""
    x, y = np.moveaxis(positions((15, 18)), -1, 0)
    field = np.stack([x**2 / 40 + y / 5, x * y / 30], axis=-1)[None]
    expected = (1 + x / 20) * (1 + x / 30) - y / 150
    determinant = np.asarray(ops.jacobian_determinant(field))[0]
    np.testing.assert_allclose(determinant[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-4)


def test_faces_take_one_sided_differences():
    field = np.array([0.0, 1.0, 4.0, 9.0]).reshape(1, 4, 1)
    np.testing.assert_allclose(ops.jacobian_determinant(field), [[2.0, 3.0, 5.0, 6.0]])


def test_a_mirror_image_is_negative_exactly_where_space_folds(shape, positions):
    """The first axis is turned around within its middle third."""
    field = np.zeros((1, *shape, len(shape)))
    index = np.arange(shape[0])
    middle = (index > shape[0] // 3) & (index < 2 * shape[0] // 3)
    centre = index[middle].mean()
    field[0, ..., 0] = np.where(middle, -2.0 * (index - centre), 0.0).reshape(-1, *[1] * (len(shape) - 1))
    determinant = np.asarray(ops.jacobian_determinant(field))[0]
    inside = index[middle][1:-1]
    np.testing.assert_allclose(determinant[inside], -1.0, atol=1e-6)
    assert (determinant[: shape[0] // 3 - 1] == 1.0).all()


def test_any_field_agrees_with_numpy_gradients_and_determinants(any_shape, random_field):
    ndim, field = len(any_shape), random_field(any_shape)
    for item in range(2):
        jacobian = np.empty((*any_shape, ndim, ndim))
        for i in range(ndim):
            for j in range(ndim):
                jacobian[..., i, j] = np.gradient(field[item, ..., i].astype("float64"), axis=j) + (i == j)
        np.testing.assert_allclose(ops.jacobian_determinant(field)[item], np.linalg.det(jacobian), atol=1e-4)


def test_half_precision_fields_give_float32(random_field):
    assert ops.jacobian_determinant(random_field((15, 18)).astype("float16")).dtype == "float32"


def test_gradient_of_the_determinant(shape, random_field, check_gradient):
    check_gradient(ops.jacobian_determinant, random_field(shape, 0.3), step=1e-3)


def test_what_is_no_field_is_refused():
    with pytest.raises(ValueError, match=r"A displacement has shape .* got shape \(1, 4, 5, 3\)"):
        ops.jacobian_determinant(np.zeros((1, 4, 5, 3)))
