"""Two images in world space through a network whose displacement is known."""

import itertools

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from vxm_tf.files import InputError
from vxm_tf.registration import RegistrationSettings, register_images
from vxm_tf.spatial import Grid, SpatialImage, reoriented
from vxm_tf.spatial.grid import same_grid

SHAPE = (18, 20, 16)
OBLIQUE = np.array([[1.9, 0.3, -0.2, -20.0], [-0.4, 1.5, 0.3, -11.0], [0.2, -0.2, 2.6, -17.0], [0, 0, 0, 1.0]])


def blob(grid, centre=(0.0, 0.0, 0.0), sigma_mm=8.0):
    """A smooth image of the world, seen on a grid."""
    squares = np.sum((grid.points() - np.array(centre)) ** 2, axis=-1)
    return np.exp(-0.5 * squares / sigma_mm**2).astype("float32")[..., None]


def image(affine=None, shape=SHAPE, centre=(0.0, 0.0, 0.0)):
    grid = Grid(shape, OBLIQUE if affine is None else affine)
    return SpatialImage(blob(grid, centre), grid)


def centred(spacing_mm, shape=SHAPE):
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -0.5 * (np.array(shape) - 1) * spacing_mm
    return affine


@pytest.fixture
def shifting(constant_network):
    """shifting(shift, **grid): a network that answers `shift` and says what grid it works on."""

    def make(shift, **grid):
        network = constant_network((None, None, None), shift)
        network.metadata = {"normalization": "minmax", "multichannel": False, "grid": grid}
        return network

    return make


@pytest.mark.parametrize("orientation", ("RAS", "LIA", "PSR"))
def test_a_shift_on_the_networks_grid_is_one_of_the_world_on_any_fixed_grid(shifting, orientation):
    shift, spacing = np.array((1.0, -0.5, 0.25)), np.array((2.0, 1.5, 3.0))
    network = shifting(shift, spacing_mm=list(spacing), orientation=orientation, shape=[16, 20, 12])
    result = register_images(image(), image(), network)
    towards = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    expected = sum(k * s * np.array(towards[letter]) for k, s, letter in zip(shift, spacing, orientation))
    assert same_grid(result.transform.grid, image().grid)
    np.testing.assert_allclose(result.transform.displacement_mm, np.broadcast_to(expected, (*SHAPE, 3)), atol=1e-5)
    np.testing.assert_allclose(
        result.displacement, np.broadcast_to(np.linalg.inv(OBLIQUE[:3, :3]) @ expected, (*SHAPE, 3)), atol=1e-5
    )


def test_the_networks_grid_has_the_recorded_shape_around_the_content(shifting):
    fixed = image(centred((1.0, 1.0, 1.0), (60, 50, 40)), (60, 50, 40), centre=(10.0, -5.0, 0.0))
    network = shifting((0, 0, 0), spacing_mm=[2.0] * 3, orientation="LIA", shape=[32, 28, 36])
    grid = register_images(fixed, fixed, network).working_grid
    assert grid.shape == (32, 28, 36) and grid.orientation == "LIA" and grid.spacing_mm == (2.0, 2.0, 2.0)
    np.testing.assert_allclose(grid.centre_mm, (10.0, -5.0, 0.0), atol=1.0)


def test_without_a_record_the_network_sees_the_fixed_images_own_grid(shifting):
    result = register_images(image(), image(), shifting((1, 0, 0)))
    assert same_grid(result.working_grid, image().grid)
    np.testing.assert_allclose(result.displacement, np.broadcast_to((1, 0, 0), (*SHAPE, 3)), atol=1e-5)


def test_moved_is_one_interpolation_of_the_original(shifting, rng):
    moving, fixed = image(centred((1.0, 1.3, 0.9))), image()
    moving = moving.with_array(rng.random(moving.array.shape, dtype="float32"))
    network = shifting((0.5, 0.25, 0.0), spacing_mm=[2.0] * 3, orientation="RAS")
    moved = register_images(moving, fixed, network).moved
    locations = moving.grid.to_indices(fixed.grid.points() + np.array((1.0, 0.5, 0.0)))
    expected = ndimage.map_coordinates(moving.array[..., 0], np.moveaxis(locations, -1, 0), order=1, mode="nearest")
    inside = np.all((locations >= 0) & (locations <= np.array(SHAPE) - 1), axis=-1)
    assert 0.02 < inside.mean() < 0.9
    np.testing.assert_allclose(moved[inside, 0], expected[inside], atol=1e-4)
    outside = np.any((locations < -0.5) | (locations > np.array(SHAPE) - 0.5), axis=-1)
    assert not moved[outside].any()


def test_the_inverse_carries_points_and_the_fixed_image_back(shifting):
    network = shifting((1.0, -1.0, 0.5), spacing_mm=[2.0] * 3, orientation="RAS")
    moving, fixed = image(centred((1.5, 1.5, 1.5), (30, 30, 30)), (30, 30, 30)), image()
    result = register_images(moving, fixed, network)
    shift = np.array((2.0, -2.0, 1.0))
    points = np.array([(0.0, 0.0, 0.0), (5.0, -3.0, 2.0)])
    np.testing.assert_allclose(result.points(points), points - shift, atol=1e-3)
    assert result.inversion.max_residual_mm < 1e-2
    near = np.linalg.norm(moving.grid.points(), axis=-1) < 9.0
    np.testing.assert_allclose(result.fixed_moved[near], blob(moving.grid, shift)[near], atol=0.05)


def test_without_headers_voxel_lies_on_voxel(shifting):
    moving, fixed = image(centred((2.0, 2.0, 2.0))), image(centred((1.0, 1.0, 1.0)))
    result = register_images(moving, fixed, shifting((0, 0, 0)), RegistrationSettings(affine="none"))
    np.testing.assert_allclose(result.moved, moving.array, atol=1e-6)
    # Every millimetre of the fixed image is two of the moving one.
    np.testing.assert_allclose(result.jacobian, 8.0, rtol=1e-4)
    assert result.measures()["fold_fraction"] == 0.0


def test_a_mask_hides_what_lies_outside(shifting, monkeypatch):
    seen = []
    network = shifting((0, 0, 0))
    monkeypatch.setattr("vxm_tf.registration.align._predict", lambda n, *images: _remember(seen, images))
    mask = np.zeros(SHAPE, bool)
    mask[4:12, 5:14, 3:10] = True
    register_images(image(), image(), network, masks=(mask, None))
    assert np.ptp(seen[0][~mask]) == 0.0 and np.ptp(seen[1][~mask]) > 0.0
    assert np.ptp(seen[0][mask]) > 0.5


def _remember(seen, images):
    seen.extend(images)
    return np.zeros((*SHAPE, 3), "float32"), None


def orientations():
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            codes = nibabel.orientations.ornt2axcodes(np.column_stack([axes, signs]))
            yield "".join(codes)


def stored_as(original, orientation):
    return SpatialImage(*reoriented(original.array, original.grid, orientation))


@pytest.mark.parametrize("orientation", list(orientations())[::7])
def test_the_order_of_axes_in_the_files_changes_nothing(network, orientation):
    trained = network((None, None, None), amplitude=2.0)
    trained.metadata = {"normalization": "minmax", "grid": {"spacing_mm": [2.0] * 3, "orientation": "LIA"}}
    moving, fixed = image(centre=(3.0, 0.0, -2.0)), image(centred((1.7, 2.1, 2.4)))
    as_they_are = register_images(moving, fixed, trained)
    turned = register_images(stored_as(moving, orientation), stored_as(fixed, orientation[::-1]), trained)
    points = np.random.default_rng(0).uniform(-12, 12, (50, 3))
    there = as_they_are.transform.map(points)
    assert np.abs(there - points).max() > 0.5
    np.testing.assert_allclose(turned.transform.map(points), there, atol=1e-3)
    np.testing.assert_allclose(turned.points(points), as_they_are.points(points), atol=2e-3)
    moved = reoriented(turned.moved, turned.fixed.grid, fixed.grid.orientation)[0]
    np.testing.assert_allclose(moved, as_they_are.moved, atol=1e-4)


def test_images_without_a_common_place_are_refused_with_what_to_do(shifting):
    far = centred((2.0, 2.0, 2.0))
    far[0, 3] += 400.0
    with pytest.raises(InputError, match=r"no common place.*\(400, 0, 0\).*--affine register"):
        register_images(image(far), image(), shifting((0, 0, 0)))


def test_little_overlap_and_content_far_apart_are_told(shifting, caplog):
    far = centred((2.0, 2.0, 2.0))
    far[0, 3] += 33.0
    register_images(image(far, centre=(33.0, 0, 0)), image(centred((2.0, 2.0, 2.0))), shifting((0, 0, 0)))
    assert "of the field of view" in caplog.text and "centred 33 mm apart" in caplog.text


def test_images_with_other_numbers_of_axes_are_refused(shifting):
    flat = SpatialImage(np.random.default_rng(0).random((9, 10, 1), dtype="float32"), Grid((9, 10), np.eye(3)))
    with pytest.raises(InputError, match="The moving image .* has 3 axes and the fixed image .* 2; both"):
        register_images(image(), flat, shifting((0, 0, 0)))


def test_slices_are_registered_in_their_plane(constant_network):
    network = constant_network((None, None), (1.0, -2.0))
    affine = np.array([[2.0, 0, -10], [0, 3.0, -12], [0, 0, 1]])
    flat = SpatialImage(np.random.default_rng(0).random((9, 10, 1), dtype="float32"), Grid((9, 10), affine))
    result = register_images(flat, flat, network)
    np.testing.assert_allclose(result.transform.displacement_mm, np.broadcast_to((2.0, -6.0), (9, 10, 2)), atol=1e-5)
    np.testing.assert_allclose(result.moved[:-1, 2:], flat.array[1:, :-2], atol=1e-5)
