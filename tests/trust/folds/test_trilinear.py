"""Trilinear determinants by dense sampling, by 27 values of each cube, and by where SimpleITK sends two points."""

import itertools

import numpy as np
import pytest

from vxm_tf.trust import certify, repair
from vxm_tf.trust.folds import trilinear as room
from vxm_tf.trust.folds.bernstein import coefficients, halved, rounding_errors
from vxm_tf.trust.folds.failing_places import failing_voxels, voxels_not_above
from vxm_tf.trust.folds.repair import MARGIN
from vxm_tf.trust.folds.trilinear import quick_bounds, trilinear, unproven_cubes

# Two points of `trilinear_fold` that linear interpolation sends to one, as least squares found them.
TWINS = np.array(
    [(2.63150408419133, 2.00008635024783, 3.02792797252824), (2.41371027917656, 2.45514033116345, 2.54265306801566)]
)
LATTICE = np.array(list(itertools.product(np.linspace(0.0, 1.0, 13), repeat=3)))


def determinants(corners, places):
    """Determinant at places `[n, 3]` of a cube, from the derivative of the sum over its corners `[2, 2, 2, 3]`."""
    jacobian = np.zeros((len(places), 3, 3))
    for corner in itertools.product((0, 1), repeat=3):
        weights = np.where(corner, places, 1.0 - places)
        for axis in range(3):
            slope = np.prod(np.delete(weights, axis, axis=1), axis=1) * (1 if corner[axis] else -1)
            jacobian[:, :, axis] += slope[:, None] * (np.array(corner) + corners[corner])
    return np.linalg.det(jacobian)


def cubes_of(displacement):
    """(index, corners `[2, 2, 2, 3]`) of every cube."""
    for index in itertools.product(*(range(size - 1) for size in displacement.shape[:3])):
        yield index, displacement[tuple(slice(start, start + 2) for start in index)]


def touching(offset):
    """A cube with the determinant (s - 1/3)^2, and about offset more, s the place along the first axis."""
    s, t, r = np.moveaxis(np.indices((2, 2, 2), dtype="float64"), 0, 0)
    return np.stack((np.zeros_like(s), r * (1.0 - (s - 1 / 3)), t * (1.0 - offset + (s - 1 / 3))), axis=-1)


def sent_by_simpleitk(displacement, points):
    sitk = pytest.importorskip("SimpleITK")
    # ITK's arrays begin with the last axis.
    image = sitk.GetImageFromArray(displacement.transpose(2, 1, 0, 3).astype("float64"), isVector=True)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
    transform.SetInterpolator(sitk.sitkLinear)
    return np.array([transform.TransformPoint(point.tolist()) for point in points])


def test_a_field_whose_tetrahedra_keep_a_fifth_of_their_volume_folds_between_the_voxels(trilinear_fold):
    certificate = certify(trilinear_fold)
    assert certificate.tetrahedral.failing_voxels == 0 and certificate.tetrahedral.smallest >= 0.2
    assert np.linalg.norm(TWINS[0] - TWINS[1]) > 0.69
    np.testing.assert_allclose(*sent_by_simpleitk(trilinear_fold, TWINS), atol=1e-6)
    found = certificate.trilinear
    assert not certificate.passes and found.failing_cubes == 1 and found.undecided_cubes == 0
    assert found.bound <= found.smallest < -1.0
    index = np.argwhere(unproven_cubes(trilinear_fold))[0]
    corners = trilinear_fold[tuple(slice(start, start + 2) for start in index)]
    assert determinants(corners, (found.place - index)[None])[0] == pytest.approx(found.smallest)


def test_a_fold_between_the_voxels_is_mended(trilinear_fold):
    mended, report = repair(trilinear_fold)
    certificate = certify(mended)
    assert certificate.passes and certificate.trilinear.bound > 0.9 * MARGIN and report.scale == 1.0
    assert min(determinants(corners, LATTICE).min() for _, corners in cubes_of(mended)) > MARGIN
    assert np.linalg.norm(np.subtract(*sent_by_simpleitk(mended, TWINS))) > 0.05


def test_coefficients_are_those_of_the_polynomial_through_27_values(rng):
    nodes = np.array(list(itertools.product((0.0, 0.5, 1.0), repeat=3)))
    one_axis = np.array([[1, 0, 0], [0.25, 0.5, 0.25], [0, 0, 1]])
    values_of = np.kron(np.kron(one_axis, one_axis), one_axis)
    for corners in rng.normal(0, 1, (20, 2, 2, 2, 3)):
        expected = np.linalg.solve(values_of, determinants(corners, nodes)).reshape(3, 3, 3)
        found = coefficients(corners[..., None])
        np.testing.assert_allclose(found[..., 0], expected, atol=1e-11)
        for half, origin in enumerate(itertools.product((0.0, 0.5), repeat=3)):
            expected = np.linalg.solve(values_of, determinants(corners, origin + nodes / 2)).reshape(3, 3, 3)
            np.testing.assert_allclose(halved(found)[..., half], expected, atol=1e-11)


def test_no_cube_is_called_proven_or_folding_that_is_not(rng):
    verdicts = []
    for number in range(400):
        corners = rng.normal(0, (0.2, 0.3, 0.35, 0.4, 0.6)[number % 5], (2, 2, 2, 3))
        found, sampled = trilinear(corners), determinants(corners, LATTICE).min()
        assert determinants(corners, np.array([found.place]))[0] == pytest.approx(found.smallest, abs=1e-9)
        assert found.bound <= sampled + 1e-12 and found.bound <= found.smallest
        assert (found.smallest <= 0) == (found.failing_cubes == 1)
        assert (found.bound > 0) == (found.failing_cubes + found.undecided_cubes == 0)
        # Halving comes close to the smallest determinant, also between the sampled places.
        assert found.smallest <= sampled + 1e-3 * (1.0 + abs(sampled))
        verdicts.append(found.failing_cubes)
    assert 100 < sum(verdicts) < 300


@pytest.mark.parametrize("sizes", [(1, 8), (2**18, 2**12)])
@pytest.mark.parametrize("strength", [0.15, 0.3])
def test_a_field_is_decided_cube_by_cube_whatever_the_slabs(sizes, strength, rng, monkeypatch):
    monkeypatch.setattr(room, "SLAB_CUBES", sizes[0])
    monkeypatch.setattr(room, "CHUNK", sizes[1])
    linear = rng.uniform(-0.2, 0.2, (3, 3))
    index = np.moveaxis(np.indices((6, 5, 7), dtype="float64"), 0, -1)
    displacement = rng.normal(0, strength, (6, 5, 7, 3)) + index @ linear + 50.0
    alone = {index: trilinear(corners) for index, corners in cubes_of(displacement)}
    found, failing = trilinear(displacement), unproven_cubes(displacement)
    assert found.failing_cubes == sum(one.failing_cubes for one in alone.values()) == failing.sum()
    assert all(failing[index] == one.failing_cubes for index, one in alone.items())
    assert found.smallest == pytest.approx(min(one.smallest for one in alone.values()), rel=1e-2, abs=1e-2)
    assert found.bound <= min(determinants(corners, LATTICE).min() for _, corners in cubes_of(displacement))
    assert found.bound == pytest.approx(found.smallest, rel=2e-3, abs=2e-3)


def test_quick_bounds_hold(rng):
    tight = []
    for strength in (0.0, 0.02, 0.05, 0.1, 0.3):
        linear = rng.uniform(-0.3, 0.3, (3, 3))
        index = np.moveaxis(np.indices((4, 5, 4), dtype="float64"), 0, -1)
        displacement = rng.normal(0, strength, (4, 5, 4, 3)) + index @ linear - 80.0
        bounds = quick_bounds(np.moveaxis(displacement, -1, 0))
        sampled = {index: determinants(corners, LATTICE).min() for index, corners in cubes_of(displacement)}
        assert all(bounds[index] <= max(value, 0.0) for index, value in sampled.items())
        tight.append(min(value - bounds[index] for index, value in sampled.items()))
    assert tight[0] < 0.01


@pytest.mark.parametrize("shape", [(17,), (15, 18)])
def test_in_one_and_two_dimensions_the_corners_decide(shape, rng):
    for strength in (0.2, 0.6):
        displacement = rng.normal(0, strength, (*shape, len(shape)))
        derivative = [np.diff(displacement, axis=axis) for axis in range(len(shape))]
        if len(shape) == 1:
            corners = derivative[0] + 1.0
        else:
            rows, columns = derivative[0] + (1.0, 0.0), derivative[1] + (0.0, 1.0)
            pairs = itertools.product((rows[:, :-1], rows[:, 1:]), (columns[:-1], columns[1:]))
            corners = np.stack([a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0] for a, b in pairs], axis=-1)
        found = trilinear(displacement)
        assert found.failing_cubes == np.count_nonzero(corners.min(axis=-1) <= 0) and found.undecided_cubes == 0
        assert found.smallest == pytest.approx(corners.min()) and len(found.place) == len(shape)
        assert found.bound == pytest.approx(corners.min(), rel=2e-3)


def test_what_touches_zero_is_not_proven():
    """The determinant is 0 on a plane that no halving hits: there is neither a proof nor a counter-example."""
    np.testing.assert_allclose(determinants(touching(0.0), np.array([[1 / 3, 0.2, 0.7]])), 0.0, atol=1e-15)
    certificate = certify(touching(0.0))
    found = certificate.trilinear
    assert (found.failing_cubes, found.undecided_cubes) == (0, 1) and 0 < found.smallest < 1e-4 and found.bound <= 0
    assert not certificate.passes and "NOT PROVEN in 1 cubes" in certificate.summary
    assert trilinear(touching(0.01)).unproven_cubes == 0 and trilinear(touching(-0.01)).failing_cubes == 1
    assert certify(repair(touching(0.0))[0]).passes


def test_rounding_is_no_proof():
    """A determinant of 1e-15 between edges of length 1 is neither above 0 nor below it in float64."""
    corners = np.zeros((2, 2, 2, 3))
    corners[1, ..., 0] = -1.0 + 1e-15
    assert rounding_errors(corners[..., None])[0] < 1e-10
    assert trilinear(corners).undecided_cubes == 1
    corners[1, ..., 0] = -1.0 + 1e-10
    assert trilinear(corners).unproven_cubes == 0


def test_failing_places(trilinear_fold):
    failing, cube = failing_voxels(trilinear_fold), unproven_cubes(trilinear_fold)
    assert cube.sum() == 1 and failing.sum() == 8
    start = np.argwhere(cube)[0]
    assert failing[tuple(slice(first, first + 2) for first in start)].all()
    np.testing.assert_array_equal(voxels_not_above(trilinear_fold, 0.0), failing)
    # Where tetrahedra fail, the cubes beside them add nothing.
    jump = np.zeros((6, 6, 6, 3))
    jump[3, 3, 3, 0] = 1.5
    assert failing_voxels(jump).sum() == certify(jump).failing_voxels
    assert unproven_cubes(jump).any() and voxels_not_above(jump, 0.0).sum() > failing_voxels(jump).sum()
    assert not failing_voxels(np.zeros((5, 6, 2))).any()
