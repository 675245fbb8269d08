"""Jacobians of hand-written fields, and folds by loops over voxels, triangles and tetrahedra."""

import itertools
import math

import numpy as np
import pytest

from vxm_tf import metrics
from vxm_tf.metrics import deformation

SHAPES = [(15, 18), (9, 10, 11)]


def positions(shape):
    return np.stack(np.meshgrid(*[np.arange(size, dtype="float64") for size in shape], indexing="ij"), axis=-1)


def random_displacement(shape, amplitude, seed=0):
    return amplitude * np.random.default_rng(seed).normal(size=(*shape, len(shape)))


def reference_displacement(shape, amplitude):
    # RandomState, since NumPy promises its stream for ever.
    return (amplitude * np.random.RandomState(7).normal(size=(*shape, len(shape)))).astype("float32")


def brute_simplices(ndim):
    """Offsets of the vertices of all simplices of both ways to cut the cubes around a voxel at 0."""
    for signs in itertools.product((-1, 1), repeat=ndim):
        yield [np.zeros(ndim, int)] + [sign * np.eye(ndim, dtype=int)[axis] for axis, sign in enumerate(signs)]
    if ndim == 3:
        for sign in (-1, 1):
            yield [sign * np.array(vertex) for vertex in ((0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1))]


def brute_non_diffeomorphic_volume(displacement):
    *shape, ndim = displacement.shape

    def deformed(vertex):
        return vertex + displacement[tuple(np.clip(vertex, 0, np.array(shape) - 1))]

    total = 0.0
    for voxel in itertools.product(*map(range, shape)):
        for offsets in brute_simplices(ndim):
            before = np.array([offset - offsets[0] for offset in offsets[1:]])
            after = np.array([deformed(voxel + o) - deformed(voxel + offsets[0]) for o in offsets[1:]])
            volume = np.sign(np.linalg.det(before)) * np.linalg.det(after) / math.factorial(ndim)
            total += 0.5 * max(-volume, 0.0)
    return total / math.prod(shape)


@pytest.mark.parametrize("shape", [(12,), *SHAPES])
def test_jacobian_of_a_linear_field_is_exact_everywhere(shape):
    ndim = len(shape)
    matrix = np.random.default_rng(4).normal(size=(ndim, ndim))
    displacement = positions(shape) @ matrix.T
    expected = np.linalg.det(np.eye(ndim) + matrix)
    np.testing.assert_allclose(metrics.jacobian_determinant(displacement), np.full(shape, expected), rtol=1e-11)


def test_jacobian_of_a_quadratic_field():
    # u = (0.03 y^2, 0.05 x y, 0.02 z^2): central differences are exact for quadratics within the image.
    x, y, z = np.moveaxis(positions((9, 10, 11)), -1, 0)
    displacement = np.stack([0.03 * y**2, 0.05 * x * y, 0.02 * z**2], axis=-1)
    expected = ((1 + 0.05 * x) - 0.06 * y * 0.05 * y) * (1 + 0.04 * z)
    determinant = metrics.jacobian_determinant(displacement)
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(determinant[inner], expected[inner], rtol=1e-12)
    # One-sided at the border: the derivative of 0.02 z^2 from 0 to 1 is 0.02 rather than 0.
    np.testing.assert_allclose(determinant[1:-1, 1:-1, 0], (expected / (1 + 0.04 * z) * 1.02)[1:-1, 1:-1, 0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slab_voxels", [1, 2 * 110, 10**6])
def test_jacobian_equals_a_loop_whatever_the_slabs(shape, slab_voxels, monkeypatch):
    monkeypatch.setattr(deformation, "_SLAB_VOXELS", slab_voxels)
    displacement = random_displacement(shape, 0.8)
    determinant = metrics.jacobian_determinant(displacement)
    for voxel in itertools.product(*map(range, shape)):
        jacobian = np.eye(len(shape))
        for axis, size in enumerate(shape):
            ahead, behind = list(voxel), list(voxel)
            ahead[axis], behind[axis] = min(voxel[axis] + 1, size - 1), max(voxel[axis] - 1, 0)
            step = ahead[axis] - behind[axis]
            jacobian[:, axis] += (displacement[tuple(ahead)] - displacement[tuple(behind)]) / step
        assert determinant[voxel] == pytest.approx(np.linalg.det(jacobian), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype, expected", [("float16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_jacobian_keeps_precision(dtype, expected):
    displacement = random_displacement((15, 18), 1.0).astype(dtype)
    assert metrics.jacobian_determinant(displacement).dtype == expected


def test_folds_of_a_hand_made_field():
    # Along the first axis positions become 0 1 2 3 2 1 6 7 8 9: central differences are (2 - 2) / 2 = 0 at index 3,
    # (1 - 3) / 2 = -1 at 4, (6 - 2) / 2 = 2 at 5 and (7 - 1) / 2 = 3 at 6.
    displacement = np.zeros((10, 18, 2), dtype="float32")
    displacement[4, :, 0], displacement[5, :, 0] = -2, -4
    determinant = metrics.jacobian_determinant(displacement)
    np.testing.assert_array_equal(determinant[:, 7], [1, 1, 1, 0, -1, 2, 3, 1, 1, 1])
    assert metrics.fold_fraction(displacement) == pytest.approx(2 / 10)
    # The strips from 3 to 4 and from 4 to 5 are inverted; along each, 17 squares and a half at either end make 18.
    assert metrics.non_diffeomorphic_volume(displacement) == pytest.approx(2 / 10)


def test_one_mirror_folds_everywhere_and_two_nowhere():
    index = positions((9, 10, 11))
    mirrored = np.zeros_like(index)
    mirrored[..., 1] = 9 - 2 * index[..., 1]
    assert metrics.fold_fraction(mirrored) == 1.0
    mirrored[..., 2] = 10 - 2 * index[..., 2]
    assert metrics.fold_fraction(mirrored) == 0.0


@pytest.mark.parametrize("shape", [(12,), *SHAPES])
def test_mirrored_and_stretched_volume(shape):
    # x -> -3 x along one axis: each of the n - 1 cubes in a row is inverted to 3 times its volume; those at either
    # end, half outside of the image, are moved as a whole.
    displacement = np.zeros((*shape, len(shape)))
    displacement[..., -1] = -4 * positions(shape)[..., -1]
    expected = 3 * (shape[-1] - 1) / shape[-1]
    assert metrics.non_diffeomorphic_volume(displacement) == pytest.approx(expected, rel=1e-12)


def test_log_jacobian_std_of_two_halves():
    # Volume grows by e in one half and by 1 / e in the other, where the slope changes it is their mean.
    slope = np.where(np.arange(10) < 5, np.e, 1 / np.e) - 1
    displacement = np.zeros((11, 18, 2))
    displacement[1:, :, 0] = np.cumsum(slope)[:, None]
    logs = [1.0] * 5 + [np.log((np.e + 1 / np.e) / 2)] + [-1.0] * 5
    assert metrics.log_jacobian_std(displacement) == pytest.approx(np.std(logs))


def test_log_jacobian_std_clips_folds():
    displacement = np.zeros((10, 18, 2), dtype="float32")
    displacement[4, :, 0], displacement[5, :, 0] = -2, -4
    logs = np.log([1, 1, 1, 1e-9, 1e-9, 2, 3, 1, 1, 1])
    assert metrics.log_jacobian_std(displacement) == pytest.approx(np.std(logs), rel=1e-6)
    assert metrics.log_jacobian_std(np.ones((9, 10, 11, 3))) == 0.0


@pytest.mark.parametrize("shape", SHAPES)
def test_checkerboard_escapes_central_differences_but_not_simplices(shape):
    # Every other voxel moves by 0.8 to and fro: central differences of neighbours two apart see nothing.
    parity = positions(shape).sum(-1) % 2
    displacement = np.zeros((*shape, len(shape)))
    displacement[..., 0] = 1.6 * parity - 0.8
    inner = (slice(1, -1),) * len(shape)
    assert np.all(metrics.jacobian_determinant(displacement)[inner] == 1.0)
    assert metrics.non_diffeomorphic_volume(displacement) > 0.1


def test_small_displacements_are_digital_diffeomorphisms():
    for shape in SHAPES:
        # With every difference below 0.2 no tetrahedron can invert: the matrix of its edges is D + E with
        # |inverse(D)| <= 1.5 and |E| <= 3 * 0.2 in the maximum norm, product below 1.
        displacement = np.random.default_rng(5).uniform(-0.1, 0.1, size=(*shape, len(shape)))
        assert metrics.non_diffeomorphic_volume(displacement) == 0.0
        assert metrics.non_diffeomorphic_volume(displacement + 7.5) == 0.0


@pytest.mark.parametrize("shape", [(12,), (15, 18), (5, 4, 6)])
@pytest.mark.parametrize("amplitude", [0.4, 3.0])
def test_non_diffeomorphic_volume_equals_a_loop_over_simplices(shape, amplitude, monkeypatch):
    displacement = random_displacement(shape, amplitude, seed=6)
    expected = brute_non_diffeomorphic_volume(displacement)
    assert expected > 0.0
    assert metrics.non_diffeomorphic_volume(displacement) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(deformation, "_SLAB_VOXELS", 1)
    assert metrics.non_diffeomorphic_volume(displacement) == pytest.approx(expected, rel=1e-9)


# digital-diffeomorphism 1.1.1 (GPL, no dependency of ours) in an environment of its own, after reference_displacement:
#     from digital_diffeomorphism import nda, ndv
#     for shape, function in (((15, 18), nda), ((9, 10, 11), ndv)):
#         for amplitude in (0.3, 2.0):
#             displacement = reference_displacement(shape, amplitude).astype("float64")
#             print(shape, amplitude, function(displacement, is_disp=True)[1] / 100)
@pytest.mark.parametrize(
    "shape, amplitude, expected",
    [
        ((15, 18), 0.3, 0.008144984421906648),
        ((15, 18), 2.0, 3.001475920500579),
        ((9, 10, 11), 0.3, 0.01006435721811622),
        ((9, 10, 11), 2.0, 9.332142716224748),
    ],
)
def test_non_diffeomorphic_volume_equals_the_authors_package(shape, amplitude, expected):
    displacement = reference_displacement(shape, amplitude)
    assert metrics.non_diffeomorphic_volume(displacement) == pytest.approx(expected, rel=1e-6)


def test_what_is_no_displacement_is_refused():
    for function in (
        metrics.jacobian_determinant,
        metrics.fold_fraction,
        metrics.log_jacobian_std,
        metrics.non_diffeomorphic_volume,
    ):
        with pytest.raises(ValueError, match=r"got \(1, 15, 18, 2\).*drop the batch axis"):
            function(np.zeros((1, 15, 18, 2)))
        with pytest.raises(ValueError, match=r"got \(2, 15, 18\)"):
            function(np.zeros((2, 15, 18)))
        with pytest.raises(ValueError, match="1 to 3 axes"):
            function(np.zeros((3, 3, 3, 3, 4)))
        with pytest.raises(ValueError, match="2 voxels or more"):
            function(np.zeros((15, 1, 2)))
        with pytest.raises(ValueError, match="1 values that are NaN"):
            function(np.where(np.arange(540).reshape(15, 18, 2) == 7, np.nan, 0.0))
