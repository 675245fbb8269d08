"""A pair in files: what is written, on which grid, and what is refused with everything left as it was."""

import hashlib
import json

import nibabel
import numpy as np
import pytest

from vxm_tf.data import normalize
from vxm_tf.files import InputError
from vxm_tf.registration import align
from vxm_tf.workflows import register_files
from vxm_tf.workflows.register_config import files_and_settings

SHAPE, SHIFT = (9, 10, 11), (2, -3, 1)
AFFINE = np.array([[0.0, 0.0, 1.5, -20.0], [-2.0, 0.0, 0.0, 30.0], [0.0, -1.25, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
OUTPUTS = ("moved", "displacement", "moved_labels")
# moved(x) = moving(x + SHIFT) for every x whose x + SHIFT lies on the grid.
TO, FROM = np.s_[:-2, 3:, :-1], np.s_[2:, :-3, 1:]


def save(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return str(path)


def load(path):
    return np.asanyarray(nibabel.load(path).dataobj)


@pytest.fixture
def job(tmp_path, rng, constant_network):
    """Options of a registration: everything that can be given, files of random voxels, a network that shifts."""
    network = constant_network(SHAPE, SHIFT)
    network.metadata = {"normalization": "minmax", "multichannel": False}
    network.save(tmp_path / "model.keras")
    return {
        "model": str(tmp_path / "model.keras"),
        "moving": save(tmp_path / "moving.nii.gz", rng.integers(-50, 1200, SHAPE).astype("int16")),
        "fixed": save(tmp_path / "fixed.nii.gz", rng.integers(0, 255, SHAPE).astype("uint8")),
        "labels": save(tmp_path / "labels.nii.gz", rng.integers(0, 12175, SHAPE).astype("int32")),
        **{name: str(tmp_path / "out" / f"{name}.nii.gz") for name in OUTPUTS},
    }


def run(job, **changed):
    return register_files(*files_and_settings(**{**job, **changed}))


def test_moved_has_the_intensities_of_the_moving_file_and_nothing_outside(job):
    run(job)
    moved = load(job["moved"])
    np.testing.assert_allclose(moved[TO], load(job["moving"])[FROM], atol=1e-3)
    assert not moved[-2:].any() and not moved[:, :3].any() and not moved[:, :, -1:].any()


def test_the_displacement_is_in_voxels_with_its_components_last(job):
    run(job)
    np.testing.assert_allclose(load(job["displacement"]), np.broadcast_to(SHIFT, (*SHAPE, 3)), atol=1e-6)


def test_labels_move_by_nearest_neighbour_and_stay_integers(job):
    run(job)
    moved = load(job["moved_labels"])
    assert moved.dtype == np.int32
    np.testing.assert_array_equal(moved[TO], load(job["labels"])[FROM])


def test_labels_between_voxels_are_not_blended(job, constant_network, tmp_path):
    constant_network(SHAPE, (0.4, 0.4, 0.4)).save(tmp_path / "between.keras")
    run(job, model=str(tmp_path / "between.keras"))
    np.testing.assert_array_equal(load(job["moved_labels"]), load(job["labels"]))


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_has_the_affine_of_the_fixed_image(job, name):
    run(job)
    np.testing.assert_allclose(nibabel.load(job[name]).affine, AFFINE)


def test_the_network_sees_images_normalised_as_in_its_training(job, monkeypatch):
    seen = []

    def predict(network, *images):
        seen.extend(images)
        return np.zeros((*SHAPE, 3), "float32"), None

    monkeypatch.setattr(align, "_predict", predict)
    run(job)
    for name, image in zip(("moving", "fixed"), seen):
        np.testing.assert_array_equal(image, normalize(load(job[name])[..., None].astype("float32"), "minmax"))


def test_only_what_is_asked_for_is_written(job, tmp_path):
    run(job, moved="", labels="", moved_labels="")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["displacement.nii.gz"]


def test_a_network_registers_images_of_another_shape_than_it_was_trained_on(job, tmp_path, rng):
    images = {name: save(tmp_path / f"{name}2.nii", rng.random((12, 9, 14))) for name in ("moving", "fixed")}
    run(job, **images, labels="", moved_labels="")
    np.testing.assert_allclose(load(job["moved"])[TO], load(images["moving"])[FROM], atol=1e-5)


def test_images_with_channels_come_out_with_channels(job, tmp_path, rng, constant_network):
    network = constant_network(SHAPE, SHIFT, channels=2)
    network.metadata = {"normalization": "none", "multichannel": True}
    network.save(tmp_path / "model2.keras")
    images = {name: save(tmp_path / f"{name}2.nii", rng.random((*SHAPE, 2))) for name in ("moving", "fixed")}
    run(job, model=str(tmp_path / "model2.keras"), **images)
    np.testing.assert_allclose(load(job["moved"])[TO], load(images["moving"])[FROM], atol=1e-5)


def test_each_image_may_have_its_own_number_of_channels_in_files(job, tmp_path, rng, constant_network):
    network = constant_network(SHAPE, SHIFT, channels=(2, 1))
    network.metadata = {"normalization": "none", "multichannel": True}
    network.save(tmp_path / "model2.keras")
    images = {n: save(tmp_path / f"{n}2.nii", rng.random((*SHAPE, c))) for n, c in (("moving", 2), ("fixed", 1))}
    run(job, model=str(tmp_path / "model2.keras"), **images)
    np.testing.assert_allclose(load(job["moved"])[TO], load(images["moving"])[FROM], atol=1e-5)


def test_mgz_and_npz_serve_as_well(job, tmp_path, rng):
    np.savez(tmp_path / "moving.npz", vol=load(job["moving"]))
    nibabel.save(nibabel.MGHImage(load(job["fixed"]), AFFINE), tmp_path / "fixed.mgz")
    run(job, moving=str(tmp_path / "moving.npz"), fixed=str(tmp_path / "fixed.mgz"), moved=str(tmp_path / "moved.mgz"))
    moved = nibabel.load(tmp_path / "moved.mgz")
    np.testing.assert_allclose(np.asanyarray(moved.dataobj)[TO], load(job["moving"])[FROM], atol=1e-3)
    np.testing.assert_allclose(moved.affine, AFFINE, atol=1e-5)


def _other_shape_voxel_by_voxel(job, tmp_path, rng):
    moving = save(tmp_path / "bad.nii.gz", rng.random((9, 10, 12)))
    changed = {"moving": moving, "affine": "none", "labels": "", "moved_labels": ""}
    return changed, r"\(9, 10, 12\).*\(9, 10, 11\).*one grid"


def _no_common_place(job, tmp_path, rng):
    affine = AFFINE.copy()
    affine[0, 3] += 500.0
    moving = save(tmp_path / "bad.nii.gz", rng.random(SHAPE), affine)
    return {"moving": moving, "labels": "", "moved_labels": ""}, "no common place.*--affine register"


def _singular_affine(job, tmp_path, rng):
    image = nibabel.Nifti1Image(rng.random(SHAPE), np.eye(4))
    image.header["srow_x"] = image.header["srow_y"]
    nibabel.save(nibabel.Nifti1Image(image.dataobj, None, image.header), tmp_path / "bad.nii.gz")
    return {"fixed": str(tmp_path / "bad.nii.gz")}, "singular"


def _a_series(job, tmp_path, rng):
    return {"moving": save(tmp_path / "bad.nii.gz", rng.random((*SHAPE, 4)))}, "A series of volumes is not one image"


def _points_that_are_none(job, tmp_path, rng):
    (tmp_path / "bad.csv").write_text("x,y,z\n1,2,three\n")
    return {"points": str(tmp_path / "bad.csv"), "moved_points": str(tmp_path / "points.csv")}, "line 2"


def _transform_of_unknown_format(job, tmp_path, rng):
    return {"transform": str(tmp_path / "bad.png")}, "not a transform file"


def _mask_of_another_shape(job, tmp_path, rng):
    return {"fixed_mask": save(tmp_path / "bad.nii.gz", np.ones((9, 10, 12), "uint8"))}, r"mask has shape \(9, 10, 12\)"


def _labels_of_another_shape(job, tmp_path, rng):
    return {"labels": save(tmp_path / "bad.nii.gz", np.zeros((9, 10, 12), "uint8"))}, r"\(9, 10, 12\)"


def _labels_of_another_affine(job, tmp_path, rng):
    return {"labels": save(tmp_path / "bad.nii.gz", np.zeros(SHAPE, "uint8"), np.eye(4))}, "different affines"


def _truncated(job, tmp_path, rng):
    path = tmp_path / "bad.nii.gz"
    path.write_bytes((tmp_path / "moving.nii.gz").read_bytes()[:300])
    return {"moving": str(path)}, "truncated"


def _not_finite(job, tmp_path, rng):
    return {"fixed": save(tmp_path / "bad.nii.gz", np.full(SHAPE, np.nan))}, "NaN"


def _image_as_labels(job, tmp_path, rng):
    return {"labels": save(tmp_path / "bad.nii.gz", rng.random(SHAPE))}, "whole numbers"


def _no_model(job, tmp_path, rng):
    (tmp_path / "bad.keras").write_text("no model")
    return {"model": str(tmp_path / "bad.keras")}, "cannot be loaded"


def _unwritable(job, tmp_path, rng):
    (tmp_path / "bad").write_text("a regular file")
    return {"moved_labels": str(tmp_path / "bad" / "labels.nii.gz")}, "cannot be written"


def _certificate_that_is_no_json(job, tmp_path, rng):
    return {"certify": str(tmp_path / "bad.txt")}, "ends in .json"


def _certificate_where_nothing_can_be_written(job, tmp_path, rng):
    (tmp_path / "bad").write_text("a regular file")
    return {"certify": str(tmp_path / "bad" / "certificate.json")}, "cannot be written"


def _unknown_output_format(job, tmp_path, rng):
    return {"displacement": str(tmp_path / "bad.png")}, "format"


BAD = [
    _other_shape_voxel_by_voxel,
    _no_common_place,
    _singular_affine,
    _a_series,
    _points_that_are_none,
    _transform_of_unknown_format,
    _mask_of_another_shape,
    _labels_of_another_shape,
    _labels_of_another_affine,
    _truncated,
    _not_finite,
    _image_as_labels,
    _no_model,
    _unwritable,
    _certificate_that_is_no_json,
    _certificate_where_nothing_can_be_written,
    _unknown_output_format,
]


@pytest.mark.parametrize("bad", BAD, ids=lambda f: f.__name__.strip("_"))
def test_bad_input_is_named_and_leaves_what_was_there(job, tmp_path, rng, bad):
    changed, reason = bad(job, tmp_path, rng)
    (tmp_path / "out").mkdir()
    for name in OUTPUTS:
        (tmp_path / "out" / f"{name}.nii.gz").write_text(f"old {name}")
    with pytest.raises(InputError, match=reason) as caught:
        run(job, **changed)
    assert str(tmp_path / "bad") in str(caught.value)
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        f"{name}.nii.gz": f"old {name}" for name in OUTPUTS
    }


@pytest.mark.parametrize("missing", ("labels", "moved_labels"))
def test_labels_and_moved_labels_belong_together(job, missing):
    with pytest.raises(InputError, match="--labels and --moved_labels belong together"):
        run(job, **{missing: ""})


@pytest.mark.parametrize("name", ("affine", "similarity", "points_convention"))
def test_a_choice_that_does_not_exist_is_refused(job, name):
    with pytest.raises(ValueError, match=f"{name} is one of .*'neither'"):
        run(job, **{name: "neither"})


def test_affines_that_differ_by_rounding_are_one_grid(job, tmp_path, rng):
    moving = save(tmp_path / "moving2.nii.gz", rng.random(SHAPE), AFFINE + 1e-4 * np.eye(4))
    assert run(job, moving=moving).displacement.shape == (*SHAPE, 3)


def test_a_folder_gets_every_output_and_what_made_it(job, tmp_path):
    (tmp_path / "points.csv").write_text("x,y,z\n-15,20,0\n")
    given = {name: job[name] for name in ("moving", "fixed", "model", "labels")}
    result = register_files(
        *files_and_settings(**given, points=str(tmp_path / "points.csv"), output_dir=str(tmp_path / "o"))
    )
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        "space-fixed_desc-moved_image.nii.gz",
        "space-moving_desc-moved_image.nii.gz",
        "space-fixed_desc-moved_dseg.nii.gz",
        "space-fixed_desc-moved_points.csv",
        "space-fixed_desc-jacobian_image.nii.gz",
        "from-moving_to-fixed_mode-image_xfm.nii.gz",
        "from-moving_to-fixed_mode-image_xfm.json",
        "from-fixed_to-moving_mode-image_xfm.nii.gz",
        "from-fixed_to-moving_mode-image_xfm.json",
        "from-moving_to-fixed_desc-certificate_xfm.json",
        "from-moving_to-fixed_desc-gate_xfm.json",
        "from-moving_to-fixed_desc-report_xfm.html",
        "from-moving_to-fixed_mode-image_xfm.png",
    }
    said = json.loads((tmp_path / "o" / "from-moving_to-fixed_mode-image_xfm.json").read_text())
    assert (said["FromSpace"], said["ToSpace"]) == ("moving", "fixed")
    digest = hashlib.sha256((tmp_path / "moving.nii.gz").read_bytes()).hexdigest()
    assert said["SourceHashes"]["moving"] == f"sha256:{digest}"
    assert said["Metrics"]["fold_fraction"] == result.measures()["fold_fraction"]
    assert said["Metrics"]["inverse_max_residual_mm"] < 0.01 and said["Software"]["vxm_tf"]
    back = json.loads((tmp_path / "o" / "from-fixed_to-moving_mode-image_xfm.json").read_text())
    assert (back["FromSpace"], back["ToSpace"]) == ("fixed", "moving")


def test_landmarks_go_where_the_moving_image_goes(job, tmp_path):
    """A bright voxel of the moving file, and the landmark on it, land on the same voxel of the fixed grid."""
    spot = np.zeros(SHAPE, "float32")
    spot[5, 4, 6] = 1.0
    moving = save(tmp_path / "spot.nii.gz", spot)
    landmark = AFFINE[:3, :3] @ (5, 4, 6) + AFFINE[:3, 3]
    (tmp_path / "points.csv").write_text("x,y,z\n" + ",".join(str(-v if k < 2 else v) for k, v in enumerate(landmark)))
    points = {"points": str(tmp_path / "points.csv"), "moved_points": str(tmp_path / "moved.csv")}
    run(job, moving=moving, **points, points_convention="LPS")
    where = np.array(np.unravel_index(load(job["moved"]).argmax(), SHAPE))
    np.testing.assert_array_equal(where, np.array((5, 4, 6)) - SHIFT)
    moved = np.loadtxt(tmp_path / "moved.csv", delimiter=",", skiprows=1) * (-1, -1, 1)
    np.testing.assert_allclose(moved, AFFINE[:3, :3] @ where + AFFINE[:3, 3], atol=1e-2)


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({"moved": "moving"}, "--moved and --moving are one file"),
        ({"moved_labels": "labels"}, "--moved_labels and --labels are one file"),
        ({"jacobian": "moved"}, "--jacobian and --moved are one file"),
    ],
)
def test_no_file_is_lost_to_another(job, changed, reason):
    before = {name: hashlib.sha256(open(job[name], "rb").read()).digest() for name in ("moving", "fixed", "labels")}
    with pytest.raises(InputError, match=reason):
        run(job, **{name: job[other] for name, other in changed.items()})
    assert before == {name: hashlib.sha256(open(job[name], "rb").read()).digest() for name in before}


@pytest.mark.parametrize("name", ("certify", "gate"))
def test_what_lies_beside_a_transform_is_not_lost(job, tmp_path, name):
    """The JSON file that --output_dir puts beside the transform, and another of that name."""
    named = {"transform": str(tmp_path / "A_to_B.nii.gz"), name: str(tmp_path / "A_to_B.json")}
    with pytest.raises(InputError, match=f"the JSON file of --transform and --{name} are one file"):
        run(job, output_dir=str(tmp_path / "folder"), **named)


def test_points_that_cannot_be_written_are_told_before_the_work(job, tmp_path, monkeypatch):
    (tmp_path / "points.csv").write_text("x,y,z\n1,2,3\n")
    (tmp_path / "file").write_text("a regular file")
    monkeypatch.setattr("vxm_tf.workflows.file_registration.read_inputs", lambda *_: pytest.fail("images were read"))
    with pytest.raises(InputError, match="cannot be written"):
        run(job, points=str(tmp_path / "points.csv"), moved_points=str(tmp_path / "file" / "points.csv"))


def test_what_an_npz_without_place_is_registered_with_gives_its_outputs_their_place(job, tmp_path):
    np.savez(tmp_path / "fixed.npz", vol=load(job["fixed"]))
    run(job, fixed=str(tmp_path / "fixed.npz"))
    np.testing.assert_allclose(nibabel.load(job["moved"]).affine, AFFINE)


def test_a_sheet_of_voxels_is_no_volume(job, tmp_path, rng):
    sheet = save(tmp_path / "sheet.nii.gz", rng.random((9, 1, 11)))
    with pytest.raises(InputError, match=r"sheet.nii.gz: is one voxel thick.*\(9, 1, 11\)"):
        run(job, moving=sheet)
