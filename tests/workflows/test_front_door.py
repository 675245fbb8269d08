"""`vxm_tf.register`: what a notebook gets is what the command writes, whatever the images come as."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

import vxm_tf
from vxm_tf.files import InputError
from vxm_tf.registration import align
from vxm_tf.spatial import AffineTransform, Grid, SpatialImage
from vxm_tf.workflows import register_files
from vxm_tf.workflows.register_config import files_and_settings

SHAPE = (14, 15, 16)


@pytest.fixture
def pair(write_nibabel, rng):
    """Paths of a moving and a fixed image."""
    return [str(write_nibabel(f"{name}.nii.gz", rng.random(SHAPE, "float32"))) for name in ("moving", "fixed")]


@pytest.fixture
def model(constant_network, tmp_path):
    """Path of a network that shifts by a voxel and a half."""
    network = constant_network(SHAPE, (1.0, -0.5, 0.0))
    network.metadata = {"normalization": "minmax", "multichannel": False}
    network.save(tmp_path / "model.keras")
    return str(tmp_path / "model.keras")


@pytest.fixture
def torn(monkeypatch, rng):
    """Whatever registers answers a displacement that folds."""
    field = np.zeros((*SHAPE, 3), "float32")
    field[5:9, 5:9, 5:9] = rng.normal(0, 2, (4, 4, 4, 3))
    monkeypatch.setattr(align, "_predict", lambda *_: (field, None))


def load(path):
    return np.asanyarray(nibabel.load(path).dataobj)


def test_saving_writes_what_the_command_writes(pair, model, tmp_path, rng, write_nibabel):
    labels = str(write_nibabel("labels.nii.gz", rng.integers(0, 5, SHAPE).astype("int16")))
    (tmp_path / "points.csv").write_text("x,y,z\n-15,20,0\n")
    along = {"labels": labels, "points": str(tmp_path / "points.csv")}
    moving, fixed = pair
    config = {"moving": moving, "fixed": fixed, "model": model, "output_dir": str(tmp_path / "command"), **along}
    register_files(*files_and_settings(**config))
    assert vxm_tf.register(*pair, model).save(tmp_path / "saved", **along) == tmp_path / "saved"
    names = {folder: sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in ("command", "saved")}
    assert names["command"] == names["saved"]
    assert any(name.endswith("report_xfm.html") for name in names["saved"])
    assert any(name.endswith(".png") for name in names["saved"])
    for name in names["saved"]:
        both = [tmp_path / folder / name for folder in ("command", "saved")]
        if name.endswith(".nii.gz"):
            np.testing.assert_array_equal(*map(load, both))
        elif name.endswith((".csv", ".png")):
            assert both[0].read_bytes() == both[1].read_bytes()
    record, other = (
        json.loads((tmp_path / folder / "from-moving_to-fixed_mode-image_xfm.json").read_text()) for folder in names
    )
    for name in ("Sources", "SourceHashes", "ModelHash", "AffineFixedToMovingRAS", "WorkingGrid", "Verdict"):
        assert record[name] == other[name]


def test_images_may_be_paths_nibabel_images_or_spatial_images(pair, model):
    expected = vxm_tf.register(*pair, model)
    others = [
        [Path(path) for path in pair],
        [nibabel.load(path) for path in pair],
        [nibabel.Nifti1Image(load(path), nibabel.load(path).affine) for path in pair],
        [vxm_tf.read_image(path) for path in pair],
        [SpatialImage(load(path), Grid(SHAPE, nibabel.load(path).affine)) for path in pair],
    ]
    for images in others:
        result = vxm_tf.register(*images, vxm_tf.load_model(model))
        np.testing.assert_array_equal(result.moved, expected.moved)
        np.testing.assert_array_equal(result.transform.displacement_mm, expected.transform.displacement_mm)
        np.testing.assert_array_equal(result.jacobian, expected.jacobian)


def test_what_came_in_memory_is_saved_without_a_hash(pair, model, tmp_path):
    moving = nibabel.Nifti1Image(load(pair[0]), nibabel.load(pair[0]).affine)
    folder = vxm_tf.register(moving, pair[1], vxm_tf.load_model(model)).save(tmp_path / "out")
    record = json.loads((folder / "from-moving_to-fixed_mode-image_xfm.json").read_text())
    assert record["Sources"] == ["moving (in memory)", pair[1]] and record["ModelHash"] is None
    assert record["SourceHashes"]["moving"] is None and record["SourceHashes"]["fixed"].startswith("sha256:")
    certificate = json.loads((folder / "from-moving_to-fixed_desc-certificate_xfm.json").read_text())
    assert certificate["inputs"]["moving"] == {"path": "moving (in memory)", "sha256": None}
    assert "moving (in memory)" in (folder / "from-moving_to-fixed_desc-report_xfm.html").read_text()


def test_an_image_that_was_changed_after_loading_is_not_its_file(pair, model, tmp_path):
    image = nibabel.load(pair[0])
    changed = nibabel.Nifti1Image(load(pair[0]) + 1, image.affine, image.header)
    changed.set_filename(pair[0])
    folder = vxm_tf.register(changed, pair[1], model).save(tmp_path / "out")
    record = json.loads((folder / "from-moving_to-fixed_mode-image_xfm.json").read_text())
    assert record["Sources"][0] == "moving.nii.gz (in memory)" and record["SourceHashes"]["moving"] is None


def test_a_spatial_image_that_was_changed_is_not_its_file(pair, tmp_path):
    image = vxm_tf.read_image(pair[0])
    results = [vxm_tf.register(each, pair[1], "none", refine=0) for each in (image, image.with_array(image.array + 1))]
    for result, source in zip(results, (pair[0], "moving.nii.gz (in memory)")):
        folder = result.save(tmp_path / "out")
        record = json.loads((folder / "from-moving_to-fixed_mode-image_xfm.json").read_text())
        assert record["Sources"][0] == source
        assert (record["SourceHashes"]["moving"] is None) == source.endswith("(in memory)")


def test_changed_images_of_one_name_are_told_apart_by_their_roles(pair, tmp_path):
    image = nibabel.load(pair[0])
    images = [nibabel.Nifti1Image(load(pair[0]) + add, image.affine) for add in (1, 2)]
    for each in images:
        each.set_filename(pair[0])
    folder = vxm_tf.register(*images, "none", refine=0).save(tmp_path / "out")
    assert (folder / "from-movingmoving_to-fixedmoving_mode-image_xfm.nii.gz").is_file()


def test_a_registration_is_shown_in_one_line(pair):
    shown = repr(vxm_tf.register(*pair, "none", refine=0))
    assert shown.startswith(f"<RegisteredPair of {pair[0]} onto {pair[1]}, registered on ")


def test_what_is_done_with_an_answer_does_not_reach_the_files(pair):
    result = vxm_tf.register(*pair, "none", refine=0)
    for answer in (result.moved, result.fixed_moved, result.jacobian):
        with pytest.raises(ValueError, match="read-only"):
            answer += 1


def test_an_error_bound_is_saved(pair, model, tmp_path):
    result = vxm_tf.register(*pair, model, samples=2)
    bound = np.full(result.working_grid.shape, 1.5, "float32")
    uncertainty = dataclasses.replace(result.uncertainty, bound_mm=bound)
    settings = dataclasses.replace(result.settings, error_bound=True)
    dataclasses.replace(result, uncertainty=uncertainty, settings=settings).save(tmp_path)
    saved = load(tmp_path / "space-fixed_desc-errorbound_image.nii.gz")
    np.testing.assert_allclose(saved, 1.5)


def test_an_image_in_memory_gives_its_grid_to_what_is_written(pair, tmp_path):
    grid = Grid(SHAPE, nibabel.load(pair[0]).affine)
    images = [SpatialImage(load(path), grid) for path in pair]
    folder = vxm_tf.register(*images, "none", refine=0).save(tmp_path / "out")
    np.testing.assert_allclose(
        nibabel.load(folder / "space-fixed_desc-moved_image.nii.gz").affine, grid.affine, atol=1e-5
    )


READ_BEFORE = {
    "nothing": lambda result: None,
    "the certificate": lambda result: result.certificate(),
    "the inverse": lambda result: result.inverse,
    "the moved image": lambda result: result.moved,
    "its own answer": lambda result: result.verdict(),
}


@pytest.mark.parametrize("before", READ_BEFORE)
def test_the_verdict_is_the_same_whatever_was_read_before(pair, model, torn, before):
    expected = vxm_tf.register(*pair, model).verdict()
    assert expected.measures["folds"] > 0.0
    result = vxm_tf.register(*pair, model)
    READ_BEFORE[before](result)
    assert result.verdict() == expected


def test_the_certificate_is_about_both_directions(pair, model, torn):
    certificate = vxm_tf.register(*pair, model).certificate()
    assert not certificate.passes and certificate.transform.failing_voxels > 0
    assert certificate.inverse_transform.shape == SHAPE
    assert certificate.transform.inverse_consistency is not None
    sound = vxm_tf.register(*pair, "none", refine=0)
    assert sound.certificate().passes and isinstance(sound.inverse, AffineTransform)


def test_labels_and_points_move_with_the_image(pair, model, rng, affine):
    result = vxm_tf.register(*pair, model)
    segmentation = rng.integers(0, 9, SHAPE)
    moved = result.labels(segmentation)
    grid = result.fixed.grid
    # moved(x) = moving(x + displacement(x)): whole voxels along the last two axes, halves go to the higher index.
    np.testing.assert_array_equal(moved[:-1, 1:], segmentation[1:, 1:])
    image = nibabel.Nifti1Image(segmentation.astype("int16"), affine)
    np.testing.assert_array_equal(result.labels(image), moved)
    np.testing.assert_array_equal(result.labels(SpatialImage(segmentation, result.moving.grid)), moved)
    there = grid.to_world(np.array([[6.0, 7.5, 8.0]]))
    np.testing.assert_allclose(result.points(there), grid.to_world(np.array([[5.0, 8.0, 8.0]])), atol=1e-3)


def test_a_segmentation_on_another_grid_is_refused(pair, model, rng):
    result = vxm_tf.register(*pair, model)
    with pytest.raises(InputError, match=r"integers of shape \(14, 15, 16\).*shape \(3, 3, 3\)"):
        result.labels(np.zeros((3, 3, 3), int))
    other = nibabel.Nifti1Image(rng.integers(0, 9, SHAPE).astype("int16"), np.diag([1.0, 1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match="different affines"):
        result.labels(other)


def test_masks_may_be_paths_images_or_arrays(pair, model, write_nibabel, affine):
    mask = np.zeros(SHAPE, "uint8")
    mask[2:-2, 3:-3, 3:-2] = 1
    path = str(write_nibabel("mask.nii.gz", mask))
    results = [
        vxm_tf.register(*pair, "none", refine=2, fixed_mask=given)
        for given in (path, mask.astype(bool), nibabel.Nifti1Image(mask, affine))
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result.working_displacement, results[0].working_displacement)
    whole = vxm_tf.register(*pair, "none", refine=2)
    assert whole.working_displacement.shape != results[0].working_displacement.shape or np.any(
        whole.working_displacement != results[0].working_displacement
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"refinement": 3}, "no setting refinement; the settings are affine, dof"),
        ({"affine": "rigid"}, "affine is one of none, header, register; got 'rigid'"),
        ({"model": "gone.keras"}, "gone.keras: there is no such model file"),
        ({"error_bound": True}, "vxm-calibrate"),
        ({"samples": 1}, "samples is 2 or more"),
        ({"samples": 2.5}, "samples is a whole number; got 2.5"),
        ({"refine": "75"}, "refine is a whole number; got '75'"),
        ({"refine": True}, "refine is a whole number; got True"),
        ({"refine_seconds": float("nan")}, "0 or more"),
        ({"spacing_mm": (1, 1, 1)}, "spacing_mm is a number"),
        ({"spacing_mm": 1e-3}, "spacing_mm is a voxel size in millimetres; 0.001 makes"),
        ({"spacing_mm": 1e9}, "spacing_mm is a voxel size in millimetres"),
        ({"repair": "yes"}, "repair is True or False"),
        ({"affine": "register", "dof": 5}, "dof of 3-D images is one of 6, 7, 9, 12; got 5"),
        ({"model": None}, "path of a .keras file or a registration network of vxm_tf; got NoneType"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(pair, given, message):
    with pytest.raises(InputError, match=message):
        vxm_tf.register(*pair, **{"model": "none", **given})


def test_an_array_knows_no_voxel_size(rng):
    with pytest.raises(InputError, match="got ndarray. An array knows no voxel size"):
        vxm_tf.register(rng.random(SHAPE), rng.random(SHAPE), "none")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full(SHAPE, "a"), "numbers are needed"),
        (np.ones(SHAPE), "constant image"),
        (np.full(SHAPE, np.nan), "NaN"),
        (np.ones((3, 4)), "axes of its grid"),
    ],
)
def test_an_image_in_memory_is_checked_as_one_in_a_file(array, message):
    image = SpatialImage(array, Grid(SHAPE, np.eye(4)))
    with pytest.raises(InputError, match=message):
        vxm_tf.register(image, image, "none")


def test_a_slice_in_memory_has_two_axes(rng):
    image = SpatialImage(rng.random((14, 15, 1)), Grid((14, 15, 1), np.eye(4)))
    with pytest.raises(InputError, match="one voxel thick"):
        vxm_tf.register(image, image, "none")


def test_channels_that_do_not_fit_are_named(pair, model, rng):
    grid = Grid(SHAPE, np.eye(4))
    two = SpatialImage(rng.random((*SHAPE, 2)), grid)
    with pytest.raises(InputError, match="network takes 1 and 1"):
        vxm_tf.register(two, two, model)
    with pytest.raises(InputError, match="has 2 channel"):
        vxm_tf.register(two, SpatialImage(rng.random(SHAPE), grid), "none", refine=1)


def test_every_channel_is_saved_without_a_network(tmp_path, rng):
    image = SpatialImage(rng.random((*SHAPE, 2)), Grid(SHAPE, np.eye(4)))
    result = vxm_tf.register(image, image, "none", refine=0)
    result.save(tmp_path)
    np.testing.assert_array_equal(load(tmp_path / "space-fixed_desc-moved_image.nii.gz"), result.moved)


def test_a_mask_may_be_read_as_an_image(pair, write_nibabel):
    mask = np.zeros(SHAPE, "uint8")
    mask[2:-2, 3:-3, 3:-2] = 1
    path = write_nibabel("mask.nii.gz", mask)
    given = [vxm_tf.register(*pair, "none", refine=0, fixed_mask=mask) for mask in (path, vxm_tf.read_image(path))]
    np.testing.assert_array_equal(given[0].working_images[1], given[1].working_images[1])
    assert given[0].labels(vxm_tf.read_image(path)).dtype == "int32"


@pytest.mark.parametrize("array", [np.zeros((5, 5, 5), "int32"), np.full(SHAPE, 0.5), np.full(SHAPE, np.nan)])
def test_a_mask_in_memory_is_checked(pair, array):
    image = vxm_tf.read_image(pair[0])
    with pytest.raises(InputError, match="whole numbers"):
        vxm_tf.register(*pair, "none", moving_mask=SpatialImage(array, image.grid))


def test_a_segmentation_that_is_no_label_map_is_refused_before_anything_is_written(pair, model, tmp_path):
    with pytest.raises(InputError, match="segmentation is integers"):
        vxm_tf.register(*pair, model).save(tmp_path / "out", labels={"a": 1})
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("points", [np.zeros((2, 3)), [[1.0, 2.0, 3.0]], []])
def test_landmarks_in_memory_are_not_taken_for_a_table(pair, tmp_path, points):
    with pytest.raises(InputError, match="points is the path of a table of landmarks"):
        vxm_tf.register(*pair, "none", refine=0).save(tmp_path / "out", points=points)


def test_an_image_registered_with_itself_is_saved_under_its_roles(pair, tmp_path):
    vxm_tf.register(pair[0], pair[0], "none", refine=0).save(tmp_path / "out")
    for name in ("space-fixedmoving_desc-moved_image", "space-movingmoving_desc-moved_image"):
        np.testing.assert_allclose(load(tmp_path / "out" / f"{name}.nii.gz"), load(pair[0]), atol=1e-6)


@pytest.mark.parametrize("points", [[[1.0, 2.0]], "abc", [[np.nan, 0.0, 0.0]], None])
def test_landmarks_that_are_none_are_refused(pair, model, points):
    with pytest.raises(InputError, match="Landmarks are finite numbers"):
        vxm_tf.register(*pair, model).points(points)


def test_a_file_that_is_gone_after_loading_is_told(pair):
    image = nibabel.load(pair[0])
    Path(pair[0]).unlink()
    with pytest.raises(InputError, match="voxels cannot be read"):
        vxm_tf.register(image, pair[1], "none")


def test_files_that_are_gone_after_registration_are_saved_without_a_hash(pair, tmp_path):
    result = vxm_tf.register(*pair, "none", refine=0)
    Path(pair[0]).unlink()
    result.save(tmp_path / "out")
    sidecar = json.loads((tmp_path / "out" / "from-moving_to-fixed_mode-image_xfm.json").read_text())
    assert sidecar["SourceHashes"]["moving"] is None
    assert sidecar["SourceHashes"]["fixed"].startswith("sha256:")


def test_transforms_of_slices_in_other_than_axial_planes_are_not_saved(tmp_path, rng):
    sagittal = np.array([[0, 0, 1, 0], [2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1.0]])
    images = [nibabel.Nifti1Image(rng.random((14, 15, 1), "float32"), sagittal) for _ in range(2)]
    result = vxm_tf.register(*images, "none", refine=0)
    with pytest.raises(InputError, match="axial planes only"):
        result.save(tmp_path / "out")


def test_a_configuration_takes_paths(pair, model, tmp_path):
    config = {"moving": Path(pair[0]), "fixed": Path(pair[1]), "model": Path(model), "output_dir": tmp_path / "out"}
    register_files(*files_and_settings(**config))
    assert len(list((tmp_path / "out").iterdir())) > 5
    with pytest.raises(InputError, match="moved is a text; got 3"):
        files_and_settings(moved=3)


def test_the_front_door_opens_when_it_is_first_asked_for():
    script = "import sys, vxm_tf; assert 'vxm_tf.workflows' not in sys.modules; vxm_tf.register; print('open')"
    environment = {"PYTHONPATH": str(Path(vxm_tf.__file__).parents[1]), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout == "open\n", done.stderr


@pytest.mark.parametrize("kind", [SpatialImage, nibabel.Nifti1Image])
def test_what_the_caller_does_with_an_array_afterwards_does_not_reach_the_result(pair, kind):
    arrays, affine = [load(path).copy() for path in pair], nibabel.load(pair[0]).affine
    images = [kind(array, Grid(SHAPE, affine) if kind is SpatialImage else affine) for array in arrays]
    result = vxm_tf.register(*images, "none", refine=0)
    arrays[0][:] = 7.0
    assert not np.any(result.moved == 7.0)


@pytest.mark.parametrize("folder", [None, "", 3])
def test_a_folder_that_is_no_path_is_refused(folder):
    ramp = np.arange(72, dtype="float32").reshape(8, 9, 1)
    images = [SpatialImage(values, Grid((8, 9), np.eye(3))) for values in (ramp, ramp + 1)]
    result = vxm_tf.register(*images, "none", refine=0)
    with pytest.raises(InputError, match="The folder to save in is a path, such as out; got"):
        result.save(folder)
