"""Penalties of affine, quadratic and random fields."""

import itertools

import numpy as np
import pytest

from vxm_tf import losses

PENALTIES = pytest.mark.parametrize("penalty", ["l1", "l2"])
ALL = pytest.mark.parametrize(
    "penalty",
    [losses.GradientPenalty("l1"), losses.GradientPenalty("l2"), losses.BendingEnergy()],
    ids=["l1", "l2", "bending"],
)


def affine_field(positions, shape, matrix, shift=4.0):
    return (positions(shape) @ matrix.T + shift)[None].astype("float32")


def loop_gradient_penalty(field, power):
    """One item, voxel by voxel."""
    *shape, ndim = field.shape
    means = []
    for axis in range(ndim):
        step = np.eye(ndim, dtype=int)[axis]
        inside = [index for index in np.ndindex(*shape) if index[axis] + 1 < shape[axis]]
        changes = [np.abs(field[tuple(index + step)] - field[index]) ** power for index in inside]
        means.append(np.mean(changes))
    return np.mean(means)


def loop_bending_energy(field):
    """One item, voxel by voxel: u(x + e_i + e_j) - u(x + e_i) - u(x + e_j) + u(x) for every pair of axes."""
    *shape, ndim = field.shape
    energy = 0.0
    for i, j in itertools.product(range(ndim), repeat=2):
        first, second = np.eye(ndim, dtype=int)[[i, j]]
        inside = [index for index in np.ndindex(*shape) if np.all(index + first + second < shape)]
        squares = []
        for index in inside:
            corners = [field[tuple(np.array(index) + offset)] for offset in (first + second, first, second, 0 * first)]
            squares.append((corners[0] - corners[1] - corners[2] + corners[3]) ** 2)
        energy += np.mean(squares)
    return energy


@ALL
def test_a_constant_field_costs_nothing(any_shape, penalty):
    np.testing.assert_array_equal(penalty(np.full((2, *any_shape, len(any_shape)), 7.0, "float32")), [0.0, 0.0])


@PENALTIES
def test_a_linear_field_costs_the_mean_of_its_slopes(any_shape, rng, positions, penalty):
    matrix = rng.normal(size=(len(any_shape), len(any_shape)))
    expected = np.mean(np.abs(matrix) if penalty == "l1" else matrix**2)
    field = affine_field(positions, any_shape, matrix)
    np.testing.assert_allclose(losses.GradientPenalty(penalty)(field), [expected], rtol=1e-4)


@PENALTIES
def test_a_quadratic_field_costs_the_mean_over_its_steps(penalty):
    """u = x^2 steps by 1, 3, 5."""
    field = np.array([0.0, 1.0, 4.0, 9.0]).reshape(1, 4, 1)
    expected = {"l1": 3.0, "l2": 35.0 / 3.0}[penalty]
    np.testing.assert_allclose(losses.GradientPenalty(penalty)(field), [expected], rtol=1e-6)


@PENALTIES
def test_gradient_penalty_of_any_field_is_that_of_a_loop(any_shape, random_field, penalty):
    field = random_field(any_shape)
    expected = [loop_gradient_penalty(item.astype("float64"), int(penalty[1])) for item in field]
    np.testing.assert_allclose(losses.GradientPenalty(penalty)(field), expected, rtol=1e-5)


def test_bending_energy_of_an_affine_field_is_zero(any_shape, rng, positions):
    field = affine_field(positions, any_shape, rng.normal(size=(len(any_shape), len(any_shape))))
    np.testing.assert_allclose(losses.BendingEnergy()(field), [0.0], atol=1e-9)


def test_bending_energy_of_a_quadratic_field(positions):
    """u = (0.3 x^2 + 0.2 x y, 0): the mean over both components of 0.6^2 + 2 * 0.2^2."""
    x, y = np.moveaxis(positions((15, 18)), -1, 0)
    field = np.stack([0.3 * x**2 + 0.2 * x * y, 0.0 * x], axis=-1)[None].astype("float32")
    np.testing.assert_allclose(losses.BendingEnergy()(field), [(0.6**2 + 2 * 0.2**2) / 2], rtol=1e-3)


def test_bending_energy_of_any_field_is_that_of_a_loop(any_shape, random_field):
    field = random_field(any_shape)
    expected = [loop_bending_energy(item.astype("float64")) for item in field]
    np.testing.assert_allclose(losses.BendingEnergy()(field), expected, rtol=1e-5)


@ALL
def test_one_object_takes_2d_and_then_3d_fields(random_field, penalty):
    flat, deep = random_field((15, 18)), random_field((9, 10, 11))
    first = np.asarray(penalty(flat))
    penalty(deep)
    np.testing.assert_array_equal(penalty(flat), first)


@ALL
def test_half_precision_fields_are_penalised_in_float32(shape, random_field, penalty):
    """Squares of these steps exceed float16, whose largest number is 65504."""
    field = random_field(shape, 1000.0).astype("float16")
    np.testing.assert_allclose(penalty(field), penalty(field.astype("float32")), rtol=1e-6)
    assert penalty(field).dtype == "float32"


@ALL
def test_gradient_of_the_penalty(shape, rng, check_gradient, penalty):
    """Neighbours differ by 3 or more, so that no absolute value turns around."""
    parity = np.indices((2, *shape, len(shape))).sum(axis=0) % 2
    field = (4.0 * parity + rng.uniform(0, 1, parity.shape)).astype("float32")
    check_gradient(penalty, field, step=0.1)


def test_unknown_penalties_are_refused():
    with pytest.raises(ValueError, match=r"penalty must be one of .*'l1', 'l2'.*; got 'l3'"):
        losses.GradientPenalty("l3")


@ALL
def test_what_is_no_field_is_refused(penalty):
    with pytest.raises(ValueError, match=r"A field has shape .* got shape \(1, 15, 18, 3\)"):
        penalty(np.zeros((1, 15, 18, 3)))
