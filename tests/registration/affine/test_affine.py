"""Affine registration finds transforms that are known, wherever and however the images lie."""

import builtins
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from vxm_tf.data.synthetic.phantoms import phantom
from vxm_tf.files.errors import InputError
from vxm_tf.registration.affine.estimate import register_affine
from vxm_tf.registration.affine.search import rotation_about
from vxm_tf.spatial import AffineTransform, Grid, reoriented
from vxm_tf.spatial.interpolation import interpolate

pytest.importorskip("SimpleITK")

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def grid_of(shape, spacing_mm, linear=None, centre_mm=0.0):
    """A grid with its middle at `centre_mm`, its axes turned or flipped by `linear`."""
    matrix = np.eye(len(shape) + 1)
    matrix[:-1, :-1] = (np.eye(len(shape)) if linear is None else linear) * np.array(spacing_mm)
    matrix[:-1, -1] = centre_mm - matrix[:-1, :-1] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, matrix)


def affine_about(linear, pivot_mm, shift_mm):
    """p -> linear (p - pivot) + pivot + shift."""
    matrix = np.eye(len(pivot_mm) + 1)
    matrix[:-1, :-1] = linear
    matrix[:-1, -1] = pivot_mm + shift_mm - linear @ pivot_mm
    return AffineTransform(matrix)


SPACING = {2: 3.0, 3: 5.5}
SHAPE = {2: (64, 60), 3: (32, 29, 31)}


def head(ndim):
    """(image, grid) of a phantom, 160 to 190 mm across, in the middle of a larger field of view."""
    image = phantom(SHAPE[ndim], seed=4, noise=0.01).image
    image = np.pad(image, 4)
    return image, grid_of(image.shape, SPACING[ndim])


def moving_for(image, grid, transform, moving_grid):
    """The moving image that `transform` aligns with `image`: moving(transform(p)) = image(p)."""
    points = transform.inverse().map(moving_grid.points())
    return interpolate(image[..., None], grid.to_indices(points))[..., 0]


def error_mm(found, true, image, grid):
    """Largest distance between two transforms over the head."""
    points = grid.points()[image > 0.1]
    return float(np.linalg.norm(found.map(points) - true.map(points), axis=-1).max())


LINEAR = {
    (3, 6): rotation_about((9.0, -6.0, 12.0)),
    (3, 7): 1.1 * rotation_about((9.0, -6.0, 12.0)),
    (3, 9): rotation_about((9.0, -6.0, 12.0)) @ np.diag([1.08, 0.95, 1.03]),
    (3, 12): rotation_about((9.0, -6.0, 12.0)) @ np.array([[1.06, 0.05, 0.0], [0.0, 0.94, -0.06], [0.03, 0.0, 1.02]]),
    (2, 3): rotation_about([14.0]),
    (2, 4): 0.92 * rotation_about([14.0]),
    (2, 6): rotation_about([14.0]) @ np.array([[1.06, 0.06], [0.0, 0.95]]),
}


@pytest.mark.parametrize(("ndim", "dof"), LINEAR)
def test_a_known_transform_is_found_with_its_degrees_of_freedom(ndim, dof):
    image, grid = head(ndim)
    true = affine_about(LINEAR[ndim, dof], np.full(ndim, 5.0), np.array([12.0, -8.0, 6.0])[:ndim])
    moving = moving_for(image, grid, true, grid)
    found = register_affine(moving, grid, image, grid, dof=dof)
    assert error_mm(found, true, image, grid) < 0.25 * SPACING[ndim]
    shape = found.matrix[:-1, :-1].T @ found.matrix[:-1, :-1]
    if (ndim, dof) in ((2, 3), (3, 6)):
        np.testing.assert_allclose(shape, np.eye(ndim), atol=1e-9)
    if (ndim, dof) in ((2, 4), (3, 7)):
        np.testing.assert_allclose(shape, shape[0, 0] * np.eye(ndim), atol=1e-9)
    if dof == 9:
        np.testing.assert_allclose(shape, np.diag(np.diag(shape)), atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_large_turns_and_shifts_on_oblique_flipped_anisotropic_grids(seed):
    """The header lies: the world positions of both images have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    image, grid = head(3)
    axis, shift = rng.normal(size=(2, 3))
    true = affine_about(rotation_about(22 * axis / np.linalg.norm(axis)), np.zeros(3), 60 * shift)
    axes = np.eye(3)[rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
    spacing = rng.uniform(3.5, 7.0, 3)
    extent = np.abs(axes).T @ np.array(grid.shape) * SPACING[3]
    oblique = true.matrix[:3, :3] @ rotation_about(rng.uniform(-15, 15, 3)) @ axes
    moving_grid = grid_of(tuple(np.ceil(1.2 * extent / spacing).astype(int)), spacing, oblique, true.map(np.zeros(3)))
    moving = moving_for(image, grid, true, moving_grid)
    found = register_affine(moving, moving_grid, image, grid, dof=6)
    assert error_mm(found, true, image, grid) < 1.0


def test_one_input_has_one_result_whatever_the_storage_order_and_the_headers_rounding(rng):
    image, grid = head(3)
    true = affine_about(LINEAR[3, 12], np.zeros(3), np.array([10.0, -20.0, 5.0]))
    moving = moving_for(image, grid, true, grid)
    expected = register_affine(moving, grid, image, grid)
    np.testing.assert_array_equal(register_affine(moving, grid, image, grid).matrix, expected.matrix)
    turned = register_affine(*reoriented(moving, grid, "PIL"), *reoriented(image, grid, "LSA"))
    np.testing.assert_allclose(turned.matrix, expected.matrix, rtol=0, atol=1e-9)
    noise = rng.normal(size=(2, 4, 4)) * 1e-5
    noise[:, 3] = 0
    rounded = register_affine(
        moving, Grid(grid.shape, grid.affine + noise[0]), image, Grid(grid.shape, grid.affine + noise[1])
    )
    assert error_mm(rounded, expected, image, grid) < 0.005


def test_inverted_contrast_and_other_intensities():
    image, grid = head(3)
    true = affine_about(LINEAR[3, 7], np.zeros(3), np.array([10.0, -20.0, 5.0]))
    moving = moving_for(image, grid, true, grid)
    moving = np.where(moving > 0.02, 3000 - 2500 * moving, 0).astype("int16")
    found = register_affine(moving, grid, image, grid, dof=7)
    assert error_mm(found, true, image, grid) < 0.5 * SPACING[3]


def test_padding_is_left_aside():
    image, grid = head(3)
    moving = moving_for(image, grid, affine_about(LINEAR[3, 6], np.zeros(3), np.array([10.0, -20.0, 5.0])), grid)
    step = np.eye(4)
    step[:3, 3] = -20, 0, -10
    padded = np.pad(moving, ((20, 0), (0, 25), (10, 15)))
    expected = register_affine(moving, grid, image, grid, dof=6)
    found = register_affine(padded, Grid(padded.shape, grid.affine @ step), image, grid, dof=6)
    assert error_mm(found, expected, image, grid) < 0.01


def test_a_cropped_field_of_view():
    image, grid = head(3)
    true = affine_about(LINEAR[3, 6], np.zeros(3), np.array([10.0, -20.0, 5.0]))
    moving = moving_for(image, grid, true, grid)
    step = np.eye(4)
    step[:3, 3] = 8, 9, 7
    part = image[8:34, 9:30, 7:32]
    cropped = Grid(part.shape, grid.affine @ step)
    found = register_affine(moving, grid, part, cropped, dof=6)
    assert error_mm(found, true, part, cropped) < 1.5


@pytest.mark.parametrize("inside", [True, False])
def test_masks_choose_what_is_compared(inside):
    """The head moves one way, all that surrounds it another."""
    image, grid = head(3)
    true = affine_about(rotation_about((6.0, 0.0, -8.0)), np.zeros(3), np.array([8.0, 0.0, -6.0]))
    moving = moving_for(image, grid, true, grid)
    mask, moving_mask = (ndimage.binary_dilation(array > 0.05) for array in (image, moving))
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=image.shape), 1.5)
    shift = np.array([-2, 3, 1])
    image = np.where(mask, image, 10 * noise)
    moving = np.where(moving_mask, moving, 10 * np.roll(noise, shift, (0, 1, 2)))
    if not inside:
        mask, moving_mask = ~ndimage.binary_dilation(mask), ~ndimage.binary_dilation(moving_mask)
        true = affine_about(np.eye(3), np.zeros(3), SPACING[3] * shift)
    found = register_affine(moving, grid, image, grid, dof=6, moving_mask=moving_mask, fixed_mask=mask)
    assert error_mm(found, true, mask.astype("float32"), grid) < 1.5


def test_stages_are_reported():
    image, grid = head(2)
    stages = []
    register_affine(image, grid, image, grid, dof=12, progress=stages.append)
    assert stages == ["starting positions", "rigid", "similarity", "affine", "affine, fine"]


def test_without_simpleitk_the_error_names_the_extra(monkeypatch):
    image, grid = head(2)
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "SimpleITK":
            raise ImportError("No module named 'SimpleITK'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"pip install 'vxm-tf\[affine\]'"):
        register_affine(image, grid, image, grid)


def test_an_implausible_answer_is_refused():
    """Voxel sizes that are wrong by a factor of two make eight times the volume."""
    image, grid = head(3)
    larger = grid_of(grid.shape, 2 * SPACING[3])
    with pytest.raises(InputError, match="volume"):
        register_affine(image, larger, image, grid)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dof": 5}, "6, 7, 9, 12"),
        ({"moving": np.zeros((3, 3, 3))}, "moving image"),
        ({"fixed": "constant"}, "one value"),
        ({"fixed_mask": np.ones((2, 2, 2), bool)}, "fixed mask"),
        ({"moving_mask": "empty"}, "moving mask"),
    ],
)
def test_arguments_that_do_not_fit(changes, message):
    image, grid = head(3)
    filled = {"constant": np.ones(grid.shape), "empty": np.zeros(grid.shape, bool)}
    arguments = {"moving": image, "moving_grid": grid, "fixed": image, "fixed_grid": grid}
    changes = {key: filled.get(value, value) if isinstance(value, str) else value for key, value in changes.items()}
    with pytest.raises(ValueError, match=message):
        register_affine(**(arguments | changes))


def load(*path):
    file = DATA.joinpath(*path)
    if not file.is_file():
        pytest.skip(f"the real volumes are absent: no file {file}")
    image = nibabel.load(file)
    return np.asanyarray(image.dataobj), Grid(image.shape, image.affine)


@pytest.mark.slow
def test_a_brain_has_one_transform_however_it_is_stored():
    fixed = load("orientations-48", "RAS.nii.gz")
    turn = affine_about(rotation_about((10.0, 5.0, -12.0)), np.zeros(3), np.array([15.0, -5.0, 10.0]))
    found = []
    for orientation in ("RAS", "LIA", "PSR", "AIL"):
        moving, grid = load("orientations-48", f"{orientation}.nii.gz")
        found.append(register_affine(moving, Grid(grid.shape, turn.matrix @ grid.affine), *fixed))
    for other in found[1:]:
        assert error_mm(other, found[0], *fixed) < 0.005
    assert error_mm(found[0], turn, *fixed) < 0.2


@pytest.mark.slow
def test_another_persons_disturbed_brain_is_found_again():
    moving, grid = load("brains-1mm", "train", "oasis_1006_norm.nii.gz")
    fixed = load("brains-1mm", "train", "oasis_1017_norm.nii.gz")
    turn = affine_about(rotation_about((-8.0, 15.0, 9.0)), grid.centre_mm, np.array([15.0, -12.0, 8.0]))
    undisturbed = register_affine(moving, grid, *fixed)
    disturbed = register_affine(moving, Grid(grid.shape, turn.matrix @ grid.affine), *fixed)
    assert error_mm(disturbed, AffineTransform(turn.matrix @ undisturbed.matrix), *fixed) < 0.3
