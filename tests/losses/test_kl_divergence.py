"""The divergence from the Laplacian prior, against matrices and a loop over neighbours."""

import numpy as np
import pytest

from vxm_tf.losses import GradientPenalty, LaplacianKL


def neighbours(shape):
    """Every pair of neighbouring voxels."""
    for axis in range(len(shape)):
        for index in np.ndindex(*shape):
            ahead = tuple(place + (k == axis) for k, place in enumerate(index))
            if ahead[axis] < shape[axis]:
                yield index, ahead


def loop(mean, log_variance, prior_lambda, correlation):
    """One item, neighbour by neighbour."""
    deviation, total = np.exp(0.5 * log_variance), 0.0
    for one, other in neighbours(mean.shape[:-1]):
        s, t = deviation[one], deviation[other]
        total += ((mean[one] - mean[other]) ** 2 + s**2 + t**2 - 2.0 * correlation * s * t).sum()
    return (0.5 * prior_lambda * total - 0.5 * log_variance.sum()) / mean.size


@pytest.fixture
def fields(rng, any_shape):
    shape = (2, *any_shape, len(any_shape))
    return rng.standard_normal(shape, dtype="float32"), rng.normal(-2.0, 0.7, shape).astype("float32")


@pytest.mark.parametrize("prior_lambda, correlation", [(10.0, 0.0), (3.0, 0.6)])
def test_it_is_the_sum_over_neighbours(fields, prior_lambda, correlation):
    expected = [loop(*item, prior_lambda, correlation) for item in zip(*fields)]
    np.testing.assert_allclose(LaplacianKL(prior_lambda, correlation)(*fields), expected, rtol=1e-4)


def test_differences_are_those_of_two_gaussians(rng):
    """Of independent voxels, with the prior's precision matrix written out; a constant apart."""
    shape, prior_lambda = (3, 4, 1), 5.0
    precision = np.zeros((12, 12))
    for one, other in neighbours(shape[:-1]):
        a, b = (np.ravel_multi_index(index, shape[:-1]) for index in (one, other))
        precision[[a, b], [a, b]] += prior_lambda
        precision[[a, b], [b, a]] -= prior_lambda

    def exact(mean, log_variance):
        mean, log_variance = mean.ravel(), log_variance.ravel()
        spread = np.trace(precision @ np.diag(np.exp(log_variance)))
        return 0.5 * (spread + mean @ precision @ mean - log_variance.sum()) / 12

    kl = LaplacianKL(prior_lambda)
    # A field of two axes has two components: equal ones have the mean of one.
    for _ in range(3):
        mean, log_variance = rng.normal(size=shape), rng.normal(size=shape)
        pair = [np.repeat(array, 2, axis=-1)[None].astype("float32") for array in (mean, log_variance)]
        np.testing.assert_allclose(kl(*pair), [exact(mean, log_variance)], rtol=1e-4)


def test_the_mean_s_part_is_the_gradient_penalty(rng):
    """At a large size, where border voxels count little: times 2 / (lambda ndim), as the trainer has it."""
    mean = rng.standard_normal((1, 60, 70, 2), dtype="float32")
    log_variance = np.zeros_like(mean)
    kl = LaplacianKL(4.0)
    part = np.asarray(kl(mean, log_variance)) - np.asarray(kl(0 * mean, log_variance))
    np.testing.assert_allclose(part * 2.0 / (4.0 * 2), GradientPenalty()(mean), rtol=0.03)


def test_without_data_the_best_variance_is_the_prior_s():
    """Of a voxel far from the border: 1 / (2 ndim lambda (1 - r))."""
    kl, values = LaplacianKL(10.0, 0.3), np.linspace(-6.0, 0.0, 601)
    small = np.zeros((1, 30, 30, 2), "float32")
    best = values[np.argmin([float(kl(small, small + value)[0]) for value in values])]
    # Borders have fewer neighbours, so a little more.
    np.testing.assert_allclose(np.exp(best), 1.0 / (4 * 10.0 * 0.7), rtol=0.06)


@pytest.mark.parametrize("settings", [{"prior_lambda": 0.0}, {"correlation": 1.0}, {"correlation": -0.1}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match="prior_lambda is positive and correlation from 0 to below 1"):
        LaplacianKL(**settings)


def test_fields_without_a_component_for_each_axis_are_refused():
    with pytest.raises(ValueError, match=r"A log variance has shape \[batch"):
        LaplacianKL()(np.zeros((1, 5, 6, 2)), np.zeros((1, 5, 6, 1)))
