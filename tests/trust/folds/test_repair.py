"""Fields that fold are mended whatever folds them, close by; fields that do not come back as they were."""

import numpy as np
import pytest
from scipy import ndimage

from vxm_tf.trust import certify, repair
from vxm_tf.trust.folds.repair import MARGIN

SHAPES = [(20, 22), (14, 16, 15)]


def index_of(shape):
    return np.moveaxis(np.indices(shape, dtype="float64"), 0, -1)


def noise(rng, shape):
    return rng.normal(0, rng.uniform(0.4, 5), (*shape, len(shape)))


def smooth_noise(rng, shape):
    sigma = (*[rng.uniform(1, 3)] * len(shape), 0)
    field = ndimage.gaussian_filter(noise(rng, shape), sigma, mode="nearest")
    return rng.uniform(4, 15) * field / np.abs(field).max()


def step(rng, shape):
    """Two halves pushed into each other."""
    axis = rng.integers(len(shape))
    ahead = index_of(shape)[..., axis] >= rng.integers(2, shape[axis] - 2)
    return np.where(ahead, -1, 1)[..., None] * rng.uniform(0.6, 4) * np.eye(len(shape))[axis]


def sharp_shears(rng, shape):
    """Two that cross."""
    axes = rng.permutation(len(shape))[:2]
    signs = [np.sign(index_of(shape)[..., axis] - shape[axis] // 2) for axis in axes]
    field = np.zeros((*shape, len(shape)))
    field[..., axes[0]], field[..., axes[1]] = rng.uniform(1.5, 5) * signs[1], rng.uniform(1.5, 5) * signs[0]
    return field


def voxel_jumps(rng, shape):
    field = np.zeros((*shape, len(shape)))
    for _ in range(rng.integers(1, 6)):
        place = tuple(rng.integers(1, size - 1) for size in shape)
        field[place] = rng.uniform(1.1, 4, len(shape)) * rng.choice((-1, 1), len(shape))
    return field


def swirl(rng, shape):
    """A vortex, fast enough to tear the grid."""
    arm = index_of(shape) - (np.array(shape) - 1) / 2 - rng.uniform(-1, 1, len(shape))
    angle = rng.uniform(6, 12) * np.exp(-np.square(np.hypot(arm[..., 0], arm[..., 1]) / (0.3 * min(shape))))
    turned = arm.copy()
    turned[..., 0] = np.cos(angle) * arm[..., 0] - np.sin(angle) * arm[..., 1]
    turned[..., 1] = np.sin(angle) * arm[..., 0] + np.cos(angle) * arm[..., 1]
    return turned - arm


def mirror(rng, shape):
    axis = rng.integers(len(shape))
    field = np.zeros((*shape, len(shape)))
    field[..., axis] = shape[axis] - 1 - 2 * index_of(shape)[..., axis]
    return field


def checkerboard(rng, shape):
    parity = 2 * (index_of(shape).sum(-1) % 2) - 1
    return parity[..., None] * rng.uniform(0.6, 2) * np.eye(len(shape))[rng.integers(len(shape))]


def waves(rng, shape):
    axis, pace = rng.integers(len(shape)), rng.uniform(0.4, 1.2)
    wave = rng.uniform(1.5, 3) / pace * np.sin(pace * index_of(shape)[..., axis] + rng.uniform(0, 6))
    return wave[..., None] * np.eye(len(shape))[axis]


def border(rng, shape):
    """The last slice moves inwards."""
    axis = rng.integers(len(shape))
    last = index_of(shape)[..., axis] == shape[axis] - 1
    return -rng.uniform(1.2, 6) * last[..., None] * np.eye(len(shape))[axis]


KINDS = [noise, smooth_noise, step, sharp_shears, voxel_jumps, swirl, mirror, checkerboard, waves, border]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_hundred_folding_fields_are_mended(kind):
    for number in range(10):
        shape, rng = SHAPES[number % 2], np.random.default_rng((KINDS.index(kind), number))
        displacement = kind(rng, shape).astype("float32")
        before = displacement.copy()
        assert not certify(displacement).passes
        mended, report = repair(displacement)
        certificate = certify(mended)
        assert certificate.passes and certificate.smallest_determinant > MARGIN
        assert (mended.shape, mended.dtype) == (displacement.shape, displacement.dtype)
        # The last resort would have shrunk all of it.
        assert report.rounds > 0 and report.scale == 1.0
        np.testing.assert_array_equal(displacement, before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(17,), *SHAPES])
def test_a_clean_field_comes_back_bit_for_bit(shape, dtype, rng):
    linear = rng.uniform(-0.1, 0.1, (len(shape), len(shape)))
    for field in (
        np.zeros((*shape, len(shape))),
        rng.uniform(-0.1, 0.1, (*shape, len(shape))),
        200 + index_of(shape) @ linear,
        # Flattened to a thousandth: tight, but nothing folds.
        -0.999 * index_of(shape) * np.eye(len(shape))[0],
    ):
        displacement = field.astype(dtype)
        mended, report = repair(displacement)
        assert mended is displacement and displacement.tobytes() == field.astype(dtype).tobytes()
        assert (report.rounds, report.scale, report.changed_voxels, report.max_change_mm) == (0, 1.0, 0, 0.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_far_from_a_fold_does_not_change_by_a_bit(shape, rng):
    displacement = rng.uniform(-0.1, 0.1, (*shape, len(shape))).astype("float32")
    displacement[(5,) * len(shape)] = 3.0
    mended, report = repair(displacement, spacing_mm=(2.0, 1.5, 0.5)[: len(shape)])
    changed = np.any(mended != displacement, axis=-1)
    # Tight are the voxel and its neighbours; one round reaches three voxels further.
    assert report.rounds == 1 and np.abs(np.argwhere(changed) - 5).max() <= 4
    assert report.changed_voxels == changed.sum() > 0
    lengths = np.linalg.norm((mended - displacement) * (2.0, 1.5, 0.5)[: len(shape)], axis=-1)
    assert report.max_change_mm == pytest.approx(lengths.max(), rel=1e-5)
    assert report.mean_change_mm == pytest.approx(lengths[changed].mean(), rel=1e-5)


@pytest.mark.parametrize("amplitude", [1e2, 1e4, 1e8])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_repair_ends_however_wild_the_field(shape, amplitude, rng):
    displacement = rng.normal(0, amplitude, (*shape, len(shape)))
    mended, report = repair(displacement)
    assert certify(mended).passes and mended.dtype == "float64"
    assert (report.scale < 1.0) == (amplitude == 1e8)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_repair_goes_towards_an_affine_map(shape):
    """An affine displacement with a jump: around the jump it becomes the affine one, though that is far from 0."""
    ndim = len(shape)
    turn = np.eye(ndim)
    turn[:2, :2] = [[np.cos(0.8), -np.sin(0.8)], [np.sin(0.8), np.cos(0.8)]]
    affine = (index_of(shape) @ (1.2 * turn - np.eye(ndim)).T + 7.0).astype("float32")
    displacement = affine.copy()
    displacement[(-1,) * ndim] -= 5.0
    mended, report = repair(displacement, towards=affine)
    assert certify(mended).passes and report.rounds <= 3
    assert np.abs(mended - affine).max() < 2.0 < np.abs(affine[(-1,) * ndim]).max()
    wild = affine + np.random.default_rng(0).normal(0, 1e7, displacement.shape).astype("float32")
    mended, report = repair(wild, towards=affine)
    assert certify(mended).passes and report.scale < 1.0
    # A turn that leaves little to the cubes half outside the image: less than the margin is asked for.
    turn[:2, :2] = [[np.cos(1.55), -np.sin(1.55)], [np.sin(1.55), np.cos(1.55)]]
    affine = index_of(shape) @ (turn - np.eye(ndim)).T
    displacement = affine.copy()
    displacement[(3,) * ndim] += 5.0
    assert 0 < certify(affine).smallest_determinant < MARGIN
    assert certify(repair(displacement, towards=affine)[0]).passes


def test_what_cannot_be_mended_is_refused(rng):
    displacement = rng.normal(0, 3, (9, 10, 2))
    mirrored = mirror(rng, (9, 10))
    with pytest.raises(ValueError, match=r"towards folds itself \(smallest determinant -1\)"):
        repair(displacement, towards=mirrored)
    with pytest.raises(ValueError, match=r"shape of the displacement, \(9, 10, 2\); got \(9, 9, 2\)"):
        repair(displacement, towards=np.zeros((9, 9, 2)))
    with pytest.raises(ValueError, match="drop the batch axis"):
        repair(displacement[None])
    with pytest.raises(ValueError, match="NaN"):
        repair(np.full((9, 10, 2), np.nan))
    with pytest.raises(ValueError, match="spacing_mm"):
        repair(displacement, spacing_mm=0)


def test_whole_numbers_become_float32():
    displacement = np.zeros((9, 10, 2), "int16")
    assert repair(displacement)[0] is displacement
    displacement[4, 4] = 3
    assert repair(displacement)[0].dtype == "float32"
