"""Local correlation of two scans, its derivatives, and what its ascent finds."""

import numpy as np
import pytest
from scipy import ndimage

from tests.registration.affine.test_affine import DATA, affine_about, error_mm, grid_of, head, load, moving_for
from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.metrics import dice
from vxm_tf.registration import RegistrationSettings, register_images
from vxm_tf.registration.affine.anchored import WEIGHT, AnchoredCorrelation
from vxm_tf.registration.affine.estimate import register_affine
from vxm_tf.registration.affine.gauss_newton import climb
from vxm_tf.registration.affine.local_correlation import LocalCorrelation
from vxm_tf.registration.affine.scan import Lattice, scan_of
from vxm_tf.registration.affine.search import rotation_about
from vxm_tf.spatial import SpatialImage
from vxm_tf.spatial.interpolation import interpolate
from vxm_tf.spatial.transforms import identity

TURN = affine_about(rotation_about([9.0]), np.full(2, 5.0), np.array([14.0, -9.0]))


def lattice(values, mask=None):
    """A lattice of 2 mm whose frame's origin is in its middle."""
    shape = np.array(values.shape[1:])
    return Lattice(values.astype("float32"), mask, -(shape - 1.0), 2.0)


def smooth(rng, *shape):
    values = ndimage.gaussian_filter(rng.normal(size=shape), (0, *[2.0] * (len(shape) - 1)))
    return (values - values.min()) / np.ptp(values)


@pytest.mark.parametrize("shape", [(2, 24, 26), (1, 14, 15, 16)])
def test_derivatives_are_those_of_finite_differences(rng, shape):
    fixed, ndim = smooth(rng, *shape), len(shape) - 1
    moving = np.roll(fixed, 1, axis=-1) ** 2 + 0.1 * smooth(rng, *shape)
    # Points on the border leave and enter, which no derivative foresees.
    mask = np.zeros(shape[1:], bool)
    mask[(slice(4, -4),) * ndim] = True
    measure = LocalCorrelation(lattice(moving), lattice(fixed, mask), np.eye(ndim + 1))
    gradient, expected = measure.terms(np.eye(ndim + 1))[0].gradient, []
    for entry in range(ndim * (ndim + 1)):
        change = np.zeros((ndim + 1, ndim + 1))
        change[:-1].flat[entry] = 1e-2
        ahead, behind = (measure.terms(np.eye(ndim + 1) + sign * change, False)[0].score for sign in (1, -1))
        expected.append((ahead - behind) / 2e-2)
    assert np.linalg.norm(gradient - expected) < 0.1 * np.linalg.norm(expected)


def test_a_climb_ends_at_the_transform_that_made_the_image(rng):
    fixed = lattice(smooth(rng, 1, 60, 60))
    true = np.array([[1.02, 0.05, 1.5], [-0.03, 0.97, -1.0], [0.0, 0.0, 1.0]])
    inverse = np.linalg.inv(true)
    offset = (inverse[:2, :2] @ fixed.origin_mm + inverse[:2, 2] - fixed.origin_mm) / 2.0
    moving = lattice(ndimage.affine_transform(fixed.values[0], inverse[:2, :2], offset, order=3, mode="nearest")[None])
    found = climb(LocalCorrelation(moving, fixed, np.eye(3)), np.eye(3), "affine", np.zeros(2), 20)
    corners = np.array([[sign * 40.0, other * 40.0, 1.0] for sign in (1, -1) for other in (1, -1)])
    assert np.abs(corners @ (found - true).T).max() < 0.5


def test_an_anchor_costs_the_mean_square_distance_in_voxels(rng):
    values = smooth(rng, 1, 20, 22)
    anchor, matrix = np.eye(3), np.eye(3)
    matrix[:2, 2] = 2.0, -4.0
    free, anchored = (
        LocalCorrelation(*[lattice(values)] * 2, anchor),
        AnchoredCorrelation(*[lattice(values)] * 2, *[anchor] * 2),
    )
    first, second = (measure.terms(matrix)[0] for measure in (free, anchored))
    assert first.score - second.score == pytest.approx(WEIGHT * (1**2 + 2**2), rel=1e-4)
    further = matrix + np.array([[0, 0, 0.02], [0, 0, 0], [0, 0, 0]])
    slope = (anchored.terms(further)[0].score - free.terms(further)[0].score - second.score + first.score) / 0.02
    assert (second.gradient - first.gradient)[2] == pytest.approx(slope, rel=0.05)
    assert (second.curvature - first.curvature)[2, 2] == pytest.approx(2 * WEIGHT / 2.0**2, rel=1e-3)


def test_a_crop_is_told_from_an_object_in_air(rng):
    values, grid = 1 + smooth(rng, 24, 24, 24), grid_of((24, 24, 24), (1.0, 1.0, 1.0))
    assert scan_of(values, grid).is_crop
    assert not scan_of(values, grid, np.ones(grid.shape, bool)).is_crop
    head = np.pad(values[4:-4, 4:-4, :-4], ((4, 4), (4, 4), (0, 4))) + 0.01 * rng.uniform(size=grid.shape)
    assert not scan_of(head, grid).is_crop


def tissues(image):
    """Two maps that sum to 1 everywhere."""
    return np.stack([image, 1 - image], axis=-1)


def noise_first(image, rng):
    return np.stack([rng.uniform(size=image.shape), image], axis=-1)


def blank_first(image):
    return np.stack([np.zeros_like(image), image], axis=-1)


@pytest.mark.parametrize("channels", ["tissues", "noise", "blank"])
def test_all_channels_count(channels, rng):
    image, grid = head(2)
    moving = moving_for(image, grid, TURN, grid)
    make = {"tissues": tissues, "noise": lambda array: noise_first(array, rng), "blank": blank_first}[channels]
    images = [SpatialImage(make(array).astype("float32"), grid) for array in (moving, image)]
    result = register_images(*images, settings=RegistrationSettings(affine="register", dof=3, refine=0))
    assert error_mm(result.affine, TURN, image, grid) < 3.0


def test_unlike_numbers_of_channels_are_compared_each_with_each(rng):
    image, grid = head(2)
    moving = noise_first(moving_for(image, grid, TURN, grid), rng)
    assert error_mm(register_affine(moving, grid, image, grid, dof=3), TURN, image, grid) < 1.5


def test_headers_that_are_right_stay_right_where_one_scan_shows_less():
    """Half of the head is cut off, and noise of its own covers each scan."""
    rng = np.random.default_rng(3)
    image = phantom((64, 64), seed=7, noise=0.0).image
    grid = grid_of(image.shape, (2.0, 2.0))
    first, second = (image + 0.08 * rng.normal(size=image.shape) for _ in range(2))
    half = second[:, :34]
    part = grid_of(half.shape, (2.0, 2.0), centre_mm=np.array([0.0, -30.0]))
    found = register_affine(first, grid, half, part, dof=6)
    points = part.points()[half > 0.2]
    assert np.linalg.norm(found.map(points) - points, axis=-1).max() < 2.0


@pytest.mark.slow
@pytest.mark.parametrize(("masked", "most_mm"), [(True, 4.0), (False, 5.0)])
def test_the_landmarks_of_a_lung_lie_within_millimetres(masked, most_mm):
    """The stiff wall of the chest no longer outvotes the lung, which lay 6.6 mm off without masks."""
    moving, fixed = load("lung-ct", "moving.nii.gz"), load("lung-ct", "fixed.nii.gz")
    masks = [load("lung-ct", f"{side}_mask.nii.gz")[0] > 0 if masked else None for side in ("moving", "fixed")]
    found = register_affine(*moving, *fixed, moving_mask=masks[0], fixed_mask=masks[1])
    landmarks = [
        np.loadtxt(DATA / "lung-ct" / f"{side}_landmarks_lps.csv", delimiter=",", skiprows=1) * [-1, -1, 1]
        for side in ("moving", "fixed")
    ]
    assert np.linalg.norm(found.map(landmarks[1]) - landmarks[0], axis=-1).mean() < most_mm


@pytest.mark.slow
@pytest.mark.parametrize(("moving", "fixed"), [("310", "207"), ("089", "132"), ("289", "102")])
def test_hippocampi_whose_headers_are_right_lose_hardly_any_dice(moving, fixed):
    names = [f"hippocampus_{number}.nii.gz" for number in (moving, fixed)]
    images = [load("hippocampus", "images", name) for name in names]
    (labels, grid), (target, target_grid) = (load("hippocampus", "labels", name) for name in names)
    found = register_affine(*images[0], *images[1])

    def score(transform):
        indices = grid.to_indices(transform.map(target_grid.points()))
        moved = interpolate(labels[..., None].astype("float32"), indices, "nearest")[..., 0]
        return np.mean(list(dice(moved.astype("uint8"), target.astype("uint8"), (1, 2)).values()))

    assert score(found) > score(identity(3)) - 0.02
