"""Grids whose axes cannot be mistaken, smooth fields of several millimetres, and how other tools see them."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from vxm_tf.spatial import AffineTransform, Chain, DisplacementField, Grid
from vxm_tf.spatial.interpolation import interpolate

SHAPE = (15, 18, 13)


def _turn(degrees, axis):
    angle = np.radians(degrees)
    matrix, others = np.eye(3), [i for i in range(3) if i != axis]
    matrix[np.ix_(others, others)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


def _grid(axes, centre, shape=SHAPE):
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.array(centre) - axes @ (np.array(shape) - 1) / 2
    return Grid(shape, affine)


LIA = np.array([[-1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
OBLIQUE = _turn(20, 2) @ _turn(-15, 0) @ np.diag([-1.0, 1, 1])
GRIDS = {
    "RAS": _grid(np.diag([3.0, 2.5, 4.0]), (5, -12, 20)),
    "LAS": _grid(np.diag([-3.0, 2.5, 4.0]), (5, -12, 20)),
    "LIA": _grid(LIA @ np.diag([3.0, 2.5, 4.0]), (5, -12, 20)),
    "oblique": _grid(OBLIQUE @ np.diag([3.0, 2.5, 4.0]), (5, -12, 20)),
}
STRAIGHT = ("RAS", "LAS", "LIA")


@pytest.fixture(params=list(GRIDS))
def fixed_grid(request):
    return GRIDS[request.param]


@pytest.fixture(params=STRAIGHT)
def straight_grid(request):
    return GRIDS[request.param]


@pytest.fixture
def moving_grid():
    """Other shape, spacing, axes and place than any of the fixed grids; it holds them all, with a margin."""
    return _grid(np.array([[0, 3.5, 0], [0, 0, 3.25], [-4.5, 0, 0]]), (3, -8, 17), (25, 27, 28))


@pytest.fixture
def oblique_moving_grid():
    return _grid(_turn(11, 1) @ LIA @ np.diag([4.0, 4.5, 3.5]), (3, -8, 17), (25, 27, 28))


def smooth_field_mm(grid, amplitude_mm=6.0):
    """Waves of the world position, another one for each component, so that a lost axis or sign shows."""
    points = (grid.points() - grid.centre_mm) / 30.0
    mixed = points @ np.array([[1.0, 0.3, -0.2], [0.4, -0.8, 0.5], [0.2, 0.6, 0.9]])[: grid.ndim, : grid.ndim]
    scale = amplitude_mm * np.array([1.0, -0.7, 0.5])[: grid.ndim]
    return (scale * np.cos(mixed + np.arange(grid.ndim))).astype("float32")


@pytest.fixture
def field(fixed_grid):
    return DisplacementField(fixed_grid, smooth_field_mm(fixed_grid))


@pytest.fixture
def straight_field(straight_grid):
    return DisplacementField(straight_grid, smooth_field_mm(straight_grid))


@pytest.fixture
def affine_transform():
    """Rotation, shear, anisotropic scales and a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = _turn(8, 0) @ _turn(-5, 2) @ np.array([[1.05, 0.04, 0.0], [0.0, 0.95, -0.03], [0.02, 0.0, 1.02]])
    matrix[:3, 3] = 1.5, -2.5, 3.0
    return AffineTransform(matrix)


@pytest.fixture(params=["dense", "dense then affine", "affine then dense"])
def transform(request, field, affine_transform):
    return _chained(request.param, field, affine_transform)


@pytest.fixture(params=["dense", "dense then affine", "affine then dense"])
def straight_transform(request, straight_field, affine_transform):
    return _chained(request.param, straight_field, affine_transform)


def _chained(order, field, affine_transform):
    if order == "dense":
        return field
    return Chain((field, affine_transform) if order == "dense then affine" else (affine_transform, field))


@pytest.fixture
def image_on():
    """image_on(grid): smooth waves with values in [0, 1], other along every axis."""

    def make(grid):
        points = (grid.points() - grid.centre_mm) / 12.0
        waves = np.sin(points @ np.linspace(0.5, 1.1, grid.ndim)) * np.cos(points[..., 0] - 0.4)
        return (0.5 + 0.5 * waves).astype("float32")

    return make


@pytest.fixture
def moved_by():
    """moved_by(transform, fixed_grid, moving, moving_grid): our own resampling, linear, 0 outside."""

    def move(transform, fixed_grid, moving, moving_grid):
        indices = moving_grid.to_indices(transform.map(fixed_grid.points()))
        return interpolate(moving[..., None], indices)[..., 0]

    return move


@pytest.fixture
def points_in(rng):
    """points_in(grid, n): random places between the voxels, well inside."""
    return lambda grid, n=50: grid.to_world(rng.uniform(1, np.array(grid.shape) - 2, (n, grid.ndim)))


@pytest.fixture
def nifti_on():
    """nifti_on(array, grid): as nibabel has it, both forms set."""

    def make(array, grid):
        image = nibabel.Nifti1Image(array, grid.affine)
        image.set_qform(grid.affine, 1)
        image.set_sform(grid.affine, 1)
        return image

    return make


@pytest.fixture
def sitk_on():
    """sitk_on(array, grid): as SimpleITK has it, LPS; vectors `[*shape, ndim]` as they come."""

    def make(array, grid):
        ndim, vector = grid.ndim, array.ndim > grid.ndim
        axes = [*range(ndim)][::-1] + ([ndim] if vector else [])
        image = sitk.GetImageFromArray(array.transpose(axes), isVector=vector)
        affine = np.diag([-1.0, -1.0, *[1.0] * (ndim - 1)]) @ grid.affine
        image.SetOrigin(affine[:-1, -1].tolist())
        image.SetSpacing(grid.spacing_mm)
        image.SetDirection((affine[:-1, :-1] / np.array(grid.spacing_mm)).ravel().tolist())
        return image

    return make


@pytest.fixture
def lps():
    """RAS points as LPS or the reverse."""
    return lambda points: points * np.array([-1.0, -1.0, 1.0])[: points.shape[-1]]


@pytest.fixture
def assert_same_image():
    """Within a thousandth of the range [0, 1]; no location lies outside the moving image."""

    def check(ours, theirs):
        assert np.ptp(ours) > 0.5 and np.count_nonzero(ours == 0) == 0
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-3)

    return check


@pytest.fixture
def surfa(monkeypatch):
    # It is a test dependency of nobody: where it is unpacked, PYTHONPATH tells.
    module = pytest.importorskip("surfa", reason="surfa, FreeSurfer's library, is not installed", exc_type=ImportError)
    # NumPy 2.3 took away what surfa 0.6.3 reads bytes with.
    monkeypatch.setattr(np, "fromstring", np.frombuffer)
    return module


@pytest.fixture
def surfa_geometry(surfa):
    return lambda grid: surfa.ImageGeometry(grid.shape, vox2world=grid.affine)
