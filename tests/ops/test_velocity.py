"""Scaling and squaring against fields whose flow is known."""

import numpy as np
import pytest
from scipy import linalg

from vxm_tf import ops


def linear_field(shape, positions, matrix):
    """v(x) = A (x - centre)."""
    return ((positions(shape) - (np.array(shape) - 1) / 2) @ matrix.T)[None].astype("float32")


def contraction(ndim):
    """Not symmetric, and so diagonally dominant that its flow stays on the grid."""
    return -0.8 * np.eye(ndim) + np.array([[0, 0.2, -0.1], [-0.15, 0, 0.1], [0.05, -0.2, 0]])[:ndim, :ndim]


@pytest.mark.parametrize("steps", [0, 1, 5, 7])
def test_a_constant_velocity_integrates_to_itself(any_shape, steps):
    velocity = np.broadcast_to([0.7, -1.3, 2.1][: len(any_shape)], (2, *any_shape, len(any_shape))).astype("float32")
    np.testing.assert_allclose(ops.integrate(velocity, steps), velocity, rtol=1e-6)


def test_no_steps_return_the_velocity(shape, random_field):
    velocity = random_field(shape)
    np.testing.assert_array_equal(ops.integrate(velocity, 0), velocity)


def test_one_step_is_half_the_velocity_composed_with_itself(shape, random_field):
    velocity = random_field(shape)
    expected = ops.compose(velocity / 2, velocity / 2)
    np.testing.assert_allclose(ops.integrate(velocity, 1), expected, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_a_linear_velocity_integrates_to_a_power_of_its_first_step(any_shape, positions, steps):
    """Linear interpolation is exact here: (I + A / 2^n)^(2^n) - I."""
    matrix, identity = contraction(len(any_shape)), np.eye(len(any_shape))
    power = np.linalg.matrix_power(identity + matrix / 2**steps, 2**steps)
    expected = linear_field(any_shape, positions, power - identity)
    result = ops.integrate(linear_field(any_shape, positions, matrix), steps)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_integration_converges_to_the_matrix_exponential_with_order_one(any_shape, positions):
    matrix = contraction(len(any_shape))
    expected = linear_field(any_shape, positions, linalg.expm(matrix) - np.eye(len(any_shape)))
    velocity, steps = linear_field(any_shape, positions, matrix), np.arange(2, 8)
    errors = [np.abs(ops.integrate(velocity, int(n)) - expected).max() for n in steps]
    order = -np.polyfit(steps, np.log2(errors), 1)[0]
    assert order == pytest.approx(1.0, abs=0.1)


def test_integrating_the_negative_velocity_gives_the_inverse(shape, smooth_field):
    velocity = smooth_field(shape, 1.0)
    forwards, backwards = ops.integrate(velocity), ops.integrate(-velocity)
    assert np.abs(forwards).max() > 0.8
    for error in (ops.compose(forwards, backwards), ops.compose(backwards, forwards)):
        assert np.abs(error).max() < 0.05


def test_the_inverse_is_not_the_negative_displacement(shape, smooth_field):
    velocity = smooth_field(shape, 1.0)
    displacement = ops.integrate(velocity)
    error = np.abs(ops.compose(displacement, ops.integrate(-velocity))).max()
    assert error < 0.3 * np.abs(ops.compose(displacement, -displacement)).max()


def test_integrate_keeps_batch_items_apart(shape, random_field):
    velocity = random_field(shape)
    alone = [ops.integrate(velocity[[i, i]], 3)[0] for i in range(2)]
    np.testing.assert_allclose(ops.integrate(velocity, 3), np.stack(alone), atol=1e-5)


def test_half_precision_velocities_are_integrated_in_float32(smooth_field):
    velocity = smooth_field((15, 18)).astype("float16")
    displacement = ops.integrate(velocity)
    assert displacement.dtype == "float32"
    np.testing.assert_array_equal(displacement, ops.integrate(velocity.astype("float32")))


def test_gradient_of_integrate(shape, smooth_field, check_gradient):
    """A field away from whole-voxel locations, where linear interpolation has a kink."""
    check_gradient(lambda velocity: ops.integrate(velocity, 2), 0.3 + 0.2 * smooth_field(shape), step=3e-3)


def test_negative_steps_are_refused():
    with pytest.raises(ValueError, match="number of integration steps is 0 or more; got -1"):
        ops.integrate(np.zeros((1, 4, 5, 2)), -1)


def test_what_is_no_field_is_refused():
    with pytest.raises(ValueError, match=r"A velocity has shape .* got shape \(1, 4, 5, 3\)"):
        ops.integrate(np.zeros((1, 4, 5, 3)))
