"""What a served graph computes is what `register_images` computes, step by step and whole."""

import itertools

import keras
import nibabel
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from vxm_tf.data import normalize as normalize_array
from vxm_tf.models import VxmDense
from vxm_tf.registration import RegistrationSettings, register_images, working_images
from vxm_tf.serving.graph import graph_registration as native
from vxm_tf.serving.graph import graph_resampling as resampling
from vxm_tf.serving.graph import intensity, nifti_reading, nifti_writing, orientation
from vxm_tf.serving.graph.graph_working_grid import working_grid as graph_working_grid
from vxm_tf.spatial import Grid, SpatialImage, resample
from vxm_tf.spatial.background import background_values, moved_image
from vxm_tf.spatial.grid import reoriented_grid
from vxm_tf.spatial.working_grid import GridSettings, content_box, working_grid

RNG = np.random.default_rng(3)
CODES = ["".join(c) for axes in itertools.permutations(("RL", "PA", "IS")) for c in itertools.product(*axes)]


def turned(degrees, spacing, centre=(5, -12, 20), shape=(15, 18, 13), orientation="RAS"):
    """A grid turned about two axes."""
    a, b = np.radians(degrees), np.radians(-0.7 * degrees)
    first = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    second = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = first @ second @ np.diag(spacing)
    affine[:3, 3] = np.array(centre) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return reoriented_grid(Grid(shape, affine), orientation)


GRIDS = {
    "straight": turned(0, (2, 2, 2)),
    "LIA": turned(0, (2, 2, 2), orientation="LIA"),
    "anisotropic": turned(0, (1.1, 3.0, 2.2), orientation="PSR"),
    "oblique": turned(17, (1.5, 2.0, 2.5), orientation="LAS"),
    "rounded": turned(0, (2.00003, 2, 1.99996), orientation="SAL"),
}
SMALL = turned(17, (0.015123, 0.0202468, 0.0251357), centre=(0.12345, 0.2, 0.3), orientation="LAS")
SETTINGS = {
    "whole": GridSettings((12, 16, 14), (2.0, 2.0, 2.0), "LIA"),
    "own shape": GridSettings((15, 18, 13), (2.0, 2.0, 2.0), "RAS"),
    "spacing alone": GridSettings(None, (3.0, 2.5, 2.0), None),
    "orientation alone": GridSettings(None, None, "SPR"),
    "shape alone": GridSettings((16, 16, 16), None, None),
}


def tensor_of(grid):
    return orientation.GridTensor(tf.constant(grid.shape, tf.int32), tf.constant(grid.affine))


def blob(grid, shift_mm=(0, 0, 0), seed=0):
    """An image with shapes in the middle of a field of view, on a background of zero."""
    points = grid.points() - grid.centre_mm - np.array(shift_mm)
    radius = np.linalg.norm(points / (11.0, 13.0, 10.0), axis=-1)
    inside = np.clip(4 * (1 - radius), 0, 1)
    texture = 1.5 + np.sin(points[..., 0] / 2.5) * np.cos(points[..., 1] / 3.0) + 0.3 * np.sin(points[..., 2] / 2.0)
    return SpatialImage((100 * inside * texture)[..., None].astype("float32"), grid)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", ("anisotropic", "oblique"))
def test_reordering(name, code):
    expected = reoriented_grid(GRIDS[name], code)
    found = orientation.reordered(tensor_of(GRIDS[name]), code)
    assert tuple(found.shape.numpy()) == expected.shape
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-9)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", GRIDS)
def test_the_working_grid(name, settings):
    box = ((3, 12), (2, 11), (1, 10))
    expected = working_grid(GRIDS[name], box, SETTINGS[settings])
    found = graph_working_grid(tensor_of(GRIDS[name]), tf.constant(box, tf.float64), SETTINGS[settings])
    assert tuple(found.shape.numpy()) == expected.shape
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-9)


def test_a_working_grid_of_billions_of_voxels_is_refused():
    far = turned(0, (4000.0, 4000.0, 4000.0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the grid to work on"):
        graph_working_grid(tensor_of(far), tf.constant(((0, 9),) * 3, tf.float64), SETTINGS["whole"])


@pytest.mark.parametrize("count", (1, 2, 3, 200, 201, 1000))
@pytest.mark.parametrize("share", (0.005, 0.995))
def test_percentiles(count, share):
    values = RNG.normal(size=count).astype("float32")
    find = intensity.percentile_high if share > 0.5 else intensity.percentile_low
    np.testing.assert_allclose(find(values, share), np.percentile(values, 100 * share), atol=1e-6)


@pytest.mark.parametrize("method", intensity.METHODS)
@pytest.mark.parametrize("values", ("blob", "sparse"))
def test_normalization(method, values):
    image = blob(GRIDS["straight"]).array
    if values == "sparse":
        image = np.zeros_like(image)
        image[3, 4, 5] = 9.0
    expected = normalize_array(image, method)[..., 0]
    np.testing.assert_allclose(intensity.normalize(image[..., 0], method, "moving"), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ("blob", "spot", "bright"))
def test_the_content_box(kind):
    image = blob(GRIDS["anisotropic"]).array
    if kind == "spot":
        image = np.zeros_like(image)
        image[3, 4, 5] = 9.0
    elif kind == "bright":
        image = 1000 - image
    np.testing.assert_array_equal(intensity.content_box(image[..., 0]), content_box(image))


@pytest.mark.parametrize("kind", ("blob", "air", "noisy air", "negative", "one voxel thick"))
def test_the_background(kind):
    image = blob(GRIDS["anisotropic"]).array
    if kind == "air":
        image = np.where(image > 200, image - 300, -1024).astype("float32")
    elif kind in ("noisy air", "negative"):
        image = image - (1000 if kind == "noisy air" else 50) + RNG.random(image.shape).astype("float32")
    elif kind == "one voxel thick":
        image = np.round(image[:, :1])
    np.testing.assert_allclose(intensity.background_value(image[..., 0]), background_values(image)[0])


def test_a_served_moved_image_is_its_background_outside_as_in_python():
    ct = np.where(blob(GRIDS["anisotropic"]).array > 200, 40.0, -1024.0).astype("float32")
    moving, fixed = SpatialImage(ct, GRIDS["anisotropic"]), GRIDS["oblique"]
    still = tf.zeros((*fixed.shape, 3))
    served = native._moved(tf.constant(ct[..., 0]), tensor_of(moving.grid), tensor_of(fixed), still).numpy()
    expected = moved_image(moving, fixed)[..., 0]
    outside = ~moving.grid.contains(fixed.points())
    assert outside.mean() > 0.05 and np.all(served[outside] == -1024.0)
    np.testing.assert_allclose(served, expected, atol=0.05)


def test_smoothing_is_scipys():
    values = RNG.random((11, 14, 9)).astype("float32")
    step = np.diag([3.4, 1.0, 2.0, 1.0])
    expected = ndimage.gaussian_filter(values, (1.2, 0.0, 0.5), mode="nearest")
    np.testing.assert_allclose(resampling.smoothed_for(values, step, "moving"), expected, atol=1e-6)


def test_voxels_of_a_thousandth_are_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="times finer than the grid"):
        resampling.smoothed_for(np.zeros((4, 4, 4), "float32"), np.diag([1e6, 1, 1, 1]), "moving")


def test_sampling_between_grids():
    image, to_grid = blob(GRIDS["anisotropic"]), GRIDS["oblique"]
    step = resampling.step_between(tensor_of(image.grid), tensor_of(to_grid))
    found = resampling.sampled(image.array, resampling.indices(step, to_grid.shape), outside=0.0)
    np.testing.assert_allclose(found, resample(image.array, image.grid, to_grid), atol=1e-3)


def network(settings):
    keras.utils.set_random_seed(2)
    model = VxmDense((None, None, None), features=((4, 4), (4, 4, 4)), integration_steps=2)
    flow = model.get_layer("flow")
    flow.set_weights([np.random.default_rng(1).normal(0, 0.6, weight.shape) for weight in flow.get_weights()])
    grid = {"shape": settings.shape, "spacing_mm": settings.spacing_mm, "orientation": settings.orientation}
    model.metadata = {"normalization": "percentile", "grid": {k: v for k, v in grid.items() if v is not None}}
    return model


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("moving, fixed", [("LIA", "straight"), ("oblique", "LIA"), ("anisotropic", "oblique")])
def test_the_whole_registration(moving, fixed, settings):
    model = network(SETTINGS[settings])
    pair = blob(GRIDS[moving], (2, 1, -1)), blob(GRIDS[fixed])
    expected = register_images(*pair, model, RegistrationSettings(affine="header"))
    volumes = [nifti_reading.NiftiVolume(tf.constant(p.array[..., 0]), tf.constant(p.grid.affine)) for p in pair]

    def predict(moving, fixed):
        return model({"moving": moving, "fixed": fixed})["displacement"]

    moved, displacement_mm = native.register_native(predict, *volumes, SETTINGS[settings], "percentile")
    field = expected.transform.displacement_mm
    assert np.abs(field).max() > 1.0
    np.testing.assert_allclose(displacement_mm, field, atol=2e-3)
    assert np.abs(moved - expected.moved[..., 0]).max() < 1e-3 * np.ptp(expected.moved)


@pytest.mark.parametrize("grid", (GRIDS["rounded"], SMALL), ids=("brain", "microscope"))
def test_grids_are_rounded_as_scans_in_files_are(grid):
    expected = working_images._rounded(SpatialImage(np.zeros((*grid.shape, 1)), reoriented_grid(grid, "RAS"))).grid
    found = native._rounded(tensor_of(grid))
    np.testing.assert_allclose(orientation.reordered(found, "RAS").affine, expected.affine, atol=1e-12)


def test_volumes_far_apart_are_refused():
    pair = blob(GRIDS["LIA"]), blob(turned(0, (2, 2, 2), centre=(500, 0, 0)))
    volumes = [nifti_reading.NiftiVolume(tf.constant(p.array[..., 0]), tf.constant(p.grid.affine)) for p in pair]
    with pytest.raises(tf.errors.InvalidArgumentError, match="no common place in world space"):
        native.register_native(lambda moving, fixed: moving, *volumes, SETTINGS["whole"], "percentile")


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("vectors", (False, True))
def test_nibabel_reads_what_is_written(name, vectors):
    grid = GRIDS[name]
    values = RNG.normal(size=(*grid.shape, *([3] if vectors else []))).astype("float32")
    content = nifti_writing.write_nifti(tf.constant(values), tf.constant(grid.affine), 1007 if vectors else 0)
    image = nibabel.Nifti1Image.from_bytes(content.numpy())
    found = np.asarray(image.dataobj)
    np.testing.assert_array_equal(found[:, :, :, 0] if vectors else found, values)
    assert int(image.header["intent_code"]) == (1007 if vectors else 0)
    for stored, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(stored, grid.affine, atol=1e-4)


def test_a_sheared_grid_is_refused():
    affine = np.eye(4)
    affine[0, 1] = 0.2
    with pytest.raises(tf.errors.InvalidArgumentError, match="not at right angles"):
        nifti_writing.right_angled(tf.constant(affine), "fixed")


def test_vectors_of_a_slice_one_voxel_thick_are_turned(rng):
    """A product of a batch with a broadcast matrix would end the process sooner or later."""
    product = tf.function(native._turned, input_signature=[tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((3, 3))])
    operations = product.get_concrete_function().graph.get_operations()
    assert "BatchMatMulV2" not in {operation.type for operation in operations}
    for shape in [(13, 1, 9), (5, 7, 8), (1, 4, 3)] * 50:
        vectors, linear = rng.normal(size=(*shape, 3)).astype("float32"), rng.normal(size=(3, 3)).astype("float32")
        np.testing.assert_allclose(product(vectors, linear), vectors @ linear.T, atol=1e-5)
