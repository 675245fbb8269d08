"""Folds by loops over voxels, hand-made fields and the authors' package; millimetres between a map and its inverse."""

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from vxm_tf import metrics
from vxm_tf.metrics import deformation
from vxm_tf.spatial import DisplacementField, Grid
from vxm_tf.trust import certify
from vxm_tf.trust.folds.certificate import certify_transform

ROOT = Path(__file__).resolve().parents[3]
MIDDLE = {"1*": [(-1, -1, 0), (-1, 0, -1), (0, -1, -1)], "2*": [(1, 1, 0), (1, 0, 1), (0, 1, 1)]}


def tool():
    """The script that wrote the package's answers, for the displacements that it asked about."""
    spec = importlib.util.spec_from_file_location("references", ROOT / "tools" / "make_diffeomorphism_references.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def brute_criteria(displacement):
    """{name: determinant `[*spatial]`}, voxel by voxel, each edge to where it is after deformation."""
    *shape, ndim = displacement.shape
    corners = itertools.product("+-", repeat=ndim)
    simplices = {"".join(signs): np.diag([int(f"{sign}1") for sign in signs]) for signs in corners}
    simplices |= {name: np.array(edges) for name, edges in (MIDDLE if ndim == 3 else {}).items()}
    found = {name: np.empty(shape) for name in simplices}
    for voxel in itertools.product(*map(range, shape)):
        for name, edges in simplices.items():
            ends = [tuple(np.clip(np.add(voxel, edge), 0, np.array(shape) - 1)) for edge in edges]
            after = [edge + displacement[end] - displacement[voxel] for edge, end in zip(edges, ends)]
            found[name][voxel] = np.linalg.det(after) / np.linalg.det(edges)
    padded = np.pad(displacement, [(1, 1)] * ndim + [(0, 0)], mode="edge")
    inner = tuple(slice(1, -1) for _ in shape)
    slopes = [np.gradient(padded, axis=axis)[inner] for axis in range(ndim)]
    found["0" * ndim] = np.linalg.det(np.stack(slopes, axis=-1) + np.eye(ndim))
    return found


@pytest.mark.parametrize("slab_voxels", [1, 2**18])
@pytest.mark.parametrize("shape", [(12,), (9, 11), (5, 4, 6)])
def test_every_criterion_equals_a_loop(shape, slab_voxels, rng, monkeypatch):
    monkeypatch.setattr(deformation, "_SLAB_VOXELS", slab_voxels)
    displacement = rng.normal(0, 0.8, (*shape, len(shape)))
    certificate, expected = certify(displacement), brute_criteria(displacement)
    assert set(certificate.criteria) == set(expected)
    for name, criterion in certificate.criteria.items():
        assert criterion.failing_voxels == np.count_nonzero(expected[name] <= 0)
        assert criterion.smallest == pytest.approx(expected[name].min(), rel=1e-9, abs=1e-9)
        assert criterion.largest == pytest.approx(expected[name].max(), rel=1e-9)
    del expected["0" * len(shape)]
    every = np.stack(list(expected.values()))
    assert certificate.failing_voxels == np.count_nonzero((every <= 0).any(0)) > 0
    assert certificate.smallest_determinant == pytest.approx(every.min(), rel=1e-9)
    assert certificate.largest_determinant == pytest.approx(every.max(), rel=1e-9)
    assert certificate.non_diffeomorphic_volume == metrics.non_diffeomorphic_volume(displacement) > 0
    assert certificate.log_jacobian_std == metrics.log_jacobian_std(displacement)


def recorded(references):
    with np.load(Path(__file__).parent / "files" / "digital_diffeomorphism.npz") as archive:
        return zip(archive["volume"], archive["smallest"], archive["failing"])


def installed(references):
    pytest.importorskip("digital_diffeomorphism", reason="needs digital-diffeomorphism 1.1.1, which is not installed")
    return map(references.answers, references.displacements())


@pytest.mark.parametrize("answers", [recorded, installed])
def test_the_authors_package_says_the_same_of_random_and_of_adversarial_fields(answers):
    references = tool()
    verdicts = []
    for displacement, (volume, smallest, failing) in zip(references.displacements(), answers(references), strict=True):
        certificate = certify(displacement)
        names = references.NAMES if displacement.shape[-1] == 3 else references.NAMES_2D
        assert set(certificate.criteria) == set(names)
        for name, least, count in zip(names, smallest, failing):
            found = certificate.criteria[name]
            assert found.failing_voxels == count
            # The package computes in float32, and does not divide the middle's by that of the undeformed one.
            assert found.smallest == pytest.approx(least / (2 if "*" in name else 1), rel=1e-4, abs=1e-5)
        voxels = math.prod(displacement.shape[:-1])
        assert certificate.non_diffeomorphic_volume == pytest.approx(volume / voxels, rel=1e-4, abs=1e-7)
        assert certificate.passes == (not np.any(failing[1:]))
        verdicts.append((certificate.passes, failing[0] == 0))
    random, adversarial = verdicts[: references.NUM_RANDOM], verdicts[references.NUM_RANDOM :]
    assert len(random) == 1000 and 300 < sum(passes for passes, _ in random) < 700
    # These fold, which central differences see at none of their voxels.
    assert len(adversarial) > 100 and set(adversarial) == {(False, True)}


@pytest.mark.parametrize("shape", [(12,), (15, 18), (9, 10, 11)])
def test_a_field_that_folds_nowhere_passes(shape, positions):
    index = positions(shape)
    waves = 0.9 * np.sin(index @ np.arange(1, len(shape) + 1) / len(shape) ** 2)[..., None] / len(shape)
    for displacement in (np.zeros_like(index), np.full_like(index, -300.25), 1.5 * index, np.tile(waves, len(shape))):
        certificate = certify(displacement)
        assert certificate.passes and certificate.failing_voxels == 0 and certificate.smallest_determinant > 0
        assert certificate.non_diffeomorphic_volume == 0.0 and certificate.shape == shape


def test_a_voxel_that_lands_on_its_neighbour_fails():
    # The volume between the two is exactly 0: nothing is inside out, and the map cannot be undone.
    displacement = np.zeros((9, 9, 2), "float32")
    displacement[4, 4, 0] = 1.0
    certificate = certify(displacement)
    assert certificate.smallest_determinant == 0.0 and not certificate.passes
    assert certificate.non_diffeomorphic_volume == 0.0
    displacement[4, 4, 0] = np.nextafter(np.float32(1), np.float32(0))
    assert certify(displacement).passes


def test_volume_of_a_stretch():
    displacement = np.zeros((6, 7, 8, 3), "float32")
    displacement[..., 1] = 1.25 * np.arange(7)[:, None]
    certificate = certify(displacement, spacing_mm=(1, 2, 3))
    # The cubes half outside of the image are moved as a whole.
    assert (certificate.smallest_determinant, certificate.largest_determinant) == (1.0, 2.25)
    assert certificate.spacing_mm == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("shape", [(17,), (15, 18), (9, 10, 11)])
def test_millimetres_between_a_shift_and_its_inverse(shape, positions):
    ndim = len(shape)
    shift, error = np.arange(1.0, ndim + 1), np.full(ndim, 0.25)
    spacing = (2.0, 1.5, 1.0)[:ndim]
    forwards, backwards = np.broadcast_to(shift, (*shape, ndim)), np.broadcast_to(error - shift, (*shape, ndim))
    found = certify(forwards, backwards, spacing).inverse_consistency
    expected = 0.25 * np.linalg.norm(spacing)
    assert [found.mean_mm, found.percentile_95_mm, found.max_mm] == pytest.approx([expected] * 3, rel=1e-6)
    # The last voxels of each axis leave the image.
    assert found.inside == pytest.approx(np.prod((np.array(shape) - shift) / shape))
    assert certify(forwards + 1000.0, backwards - 1000.0).inverse_consistency is None
    assert certify(forwards).inverse_consistency is None


def test_residuals_of_some_voxels():
    nothing, wrong = np.zeros((2, 10, 20, 2))
    wrong[:, :, 0].flat[:30] = 3.0
    found = certify(nothing, wrong, spacing_mm=0.5).inverse_consistency
    lengths = np.linalg.norm(wrong, axis=-1) * 0.5
    assert found.mean_mm == pytest.approx(lengths.mean()) and found.max_mm == lengths.max()
    assert found.percentile_95_mm == pytest.approx(np.percentile(lengths, 95)) and 0 < found.percentile_95_mm


def test_a_transform_and_an_inverse_on_grids_of_their_own(affine):
    grid, moving = Grid((9, 10, 11), affine), Grid((14, 15, 16), np.diag([3.0, 3.0, 3.0, 1.0]))
    moving.affine[:3, 3] = (-20.0, 0.0, 3.0)
    shift = np.array((1.0, -2.0, 3.0))
    shifts = ((grid, shift), (moving, 0.5 - shift))
    fields = [DisplacementField(g, np.broadcast_to(vector, (*g.shape, 3))) for g, vector in shifts]
    certificate = certify_transform(*fields, moving)
    assert certificate.passes and certificate.spacing_mm == pytest.approx(grid.spacing_mm)
    assert certificate.inverse_consistency.max_mm == pytest.approx(0.5 * math.sqrt(3))
    inside = moving.contains(grid.points() + shift)
    assert certificate.inverse_consistency.inside == inside.mean() and 0.1 < inside.mean() < 1


def test_what_is_no_displacement_is_refused():
    field = np.zeros((5, 6, 2))
    with pytest.raises(ValueError, match=r"drop the batch axis"):
        certify(field[None])
    with pytest.raises(ValueError, match="1 values that are NaN"):
        certify(np.where(np.arange(60).reshape(5, 6, 2) == 7, np.nan, 0.0))
    with pytest.raises(ValueError, match=r"one shape.*\(6, 5, 2\) and \(5, 6, 2\)"):
        certify(field, field.swapaxes(0, 1))
    for spacing in (0.0, -1.0, (1.0, 2.0, 3.0), (1.0, np.nan)):
        with pytest.raises(ValueError, match="spacing_mm is one positive number, or one for each of 2 axes"):
            certify(field, spacing_mm=spacing)
