"""Images, series, labels and landmarks through transforms in files."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from vxm_tf.files import InputError, read_image, write_volume
from vxm_tf.spatial import AffineTransform, DisplacementField, Grid
from vxm_tf.spatial.transform_files import read_transform, write_transform
from vxm_tf.workflows.apply_transforms import ApplyConfig, apply_files
from vxm_tf.workflows.compose_transforms import ComposeConfig, compose_files
from vxm_tf.workflows.invert_transform import InvertConfig, invert_file

SHAPE = (12, 14, 13)
MOVING = np.array([[-1.0, 0, 0, 9], [0, 0, 1.2, -8], [0, 1.1, 0, -6], [0, 0, 0, 1.0]])
FIXED = np.array([[1.44, 0.42, 0, -10], [-0.42, 1.44, 0, -6], [0, 0, 1.3, -7], [0, 0, 0, 1.0]])


def save(path, array, affine):
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return str(path)


def load(path):
    return np.asanyarray(nibabel.load(path).dataobj)


def ramp(affine):
    """An image of the world whose value is linear, so that interpolation is exact."""
    return (Grid(SHAPE, affine).points() @ (1.0, -2.0, 0.5) + 100.0).astype("float32")


@pytest.fixture
def files(tmp_path, rng):
    """Paths by name: two images, a shift of (1, -1, 0.5) mm as a field, a scaling as a matrix, and landmarks."""
    fixed = Grid(SHAPE, FIXED)
    field = np.broadcast_to(np.array((1.0, -1.0, 0.5), "float32"), (*SHAPE, 3))
    write_transform(tmp_path / "shift.nii.gz", DisplacementField(fixed, field), fixed)
    matrix = np.eye(4)
    matrix[:3, :3] *= 0.9
    write_transform(tmp_path / "scale.mat", AffineTransform(matrix), fixed)
    (tmp_path / "points.csv").write_text("x,y,z,name\n1,2,3,a\n-2,0,1,b\n")
    return {
        "moving": save(tmp_path / "moving.nii.gz", ramp(MOVING), MOVING),
        "fixed": save(tmp_path / "fixed.nii.gz", ramp(FIXED), FIXED),
        "labels": save(tmp_path / "labels.nii.gz", rng.integers(0, 2000, SHAPE).astype("int16"), MOVING),
        "shift": str(tmp_path / "shift.nii.gz"),
        "scale": str(tmp_path / "scale.mat"),
        "points": str(tmp_path / "points.csv"),
        "out": str(tmp_path / "out.nii.gz"),
        "points_out": str(tmp_path / "out.csv"),
    }


def apply(files, *names, **settings):
    apply_files(ApplyConfig(transforms=tuple(files[n] for n in names), reference=files["fixed"], **settings))


def inside(points, affine=MOVING):
    indices = Grid(SHAPE, affine).to_indices(points)
    return np.all((indices >= 0) & (indices <= np.array(SHAPE) - 1), axis=-1)


def test_an_image_takes_its_value_where_the_transform_points(files):
    apply(files, "shift", image=files["moving"], moved=files["out"])
    points = Grid(SHAPE, FIXED).points() + (1.0, -1.0, 0.5)
    moved, mask = load(files["out"]), inside(points)
    assert mask.mean() > 0.2
    np.testing.assert_allclose(moved[mask], points[mask] @ (1.0, -2.0, 0.5) + 100.0, atol=1e-3)
    np.testing.assert_allclose(nibabel.load(files["out"]).affine, FIXED, atol=1e-6)


def test_transforms_are_listed_in_the_order_in_which_the_image_goes(files):
    """First scaled, then shifted: so points are shifted first, and scaled after."""
    apply(files, "scale", "shift", image=files["moving"], moved=files["out"])
    points = 0.9 * (Grid(SHAPE, FIXED).points() + (1.0, -1.0, 0.5))
    mask = inside(points)
    np.testing.assert_allclose(load(files["out"])[mask], points[mask] @ (1.0, -2.0, 0.5) + 100.0, atol=1e-3)


def test_a_series_keeps_its_volumes_apart(files, tmp_path):
    series = np.stack([ramp(MOVING), 2 * ramp(MOVING), -ramp(MOVING)], axis=-1)
    path = save(tmp_path / "series.nii.gz", series, MOVING)
    apply(files, "shift", image=path, moved=files["out"])
    one = str(tmp_path / "one.nii.gz")
    apply(files, "shift", image=files["moving"], moved=one)
    np.testing.assert_allclose(load(files["out"]), load(one)[..., None] * (1, 2, -1), rtol=1e-5)


def test_labels_keep_their_values(files):
    apply(files, "shift", labels=files["labels"], moved_labels=files["out"])
    moved, original = load(files["out"]), load(files["labels"])
    assert moved.dtype.kind == "i" and set(np.unique(moved)) <= {0, *np.unique(original)}
    points = Grid(SHAPE, FIXED).points() + (1.0, -1.0, 0.5)
    location = Grid(SHAPE, MOVING).to_indices(points)
    index = np.round(location).astype(int)
    # Halfway between two voxels either is nearest.
    mask = inside(points) & np.all(np.abs(np.abs(location - index) - 0.5) > 1e-3, axis=-1)
    np.testing.assert_array_equal(moved[mask], original[tuple(index[mask].T)])


def test_points_go_through_the_file_as_it_is_stored(files, tmp_path):
    apply(files, "shift", points=files["points"], moved_points=files["points_out"])
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "x,y,z,name" and lines[1].endswith(",a")
    np.testing.assert_allclose([float(v) for v in lines[1].split(",")[:3]], (2.0, 1.0, 3.5), atol=1e-4)


def test_points_of_the_moving_image_go_where_its_voxels_go(files, tmp_path):
    settings = {"points_follow_image": True, "points_convention": "LPS"}
    apply(files, "shift", points=files["points"], moved_points=files["points_out"], **settings)
    first = (tmp_path / "out.csv").read_text().splitlines()[1]
    # (1, 2, 3) LPS is (-1, -2, 3) RAS; minus the shift (-2, -1, 2.5); in LPS again (2, 1, 2.5).
    np.testing.assert_allclose([float(v) for v in first.split(",")[:3]], (2.0, 1.0, 2.5), atol=2e-3)


def test_a_transform_of_another_image_is_refused(files, tmp_path):
    far = FIXED.copy()
    far[:3, 3] += 300.0
    other = save(tmp_path / "other.nii.gz", ramp(FIXED), far)
    config = ApplyConfig(transforms=(files["shift"],), reference=other, image=files["moving"], moved=files["out"])
    with pytest.raises(InputError, match="belongs to another image"):
        apply_files(config)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "Nothing to move"),
        ({"image": "a.nii"}, "--image and --moved belong together"),
        ({"image": "a.nii", "moved": "b.nii", "reference": ""}, "--reference must be given"),
        ({"image": "a.nii", "moved": "b.png"}, "not a format"),
        ({"image": "a.nii", "moved": "b.nii", "interpolation": "cubic"}, "interpolation is one of"),
        ({"image": "a.nii", "moved": "b.nii"}, "no such file"),
    ],
)
def test_bad_settings_are_told(files, tmp_path, monkeypatch, settings, reason):
    monkeypatch.chdir(tmp_path)
    config = ApplyConfig(**{"transforms": (files["shift"],), "reference": files["fixed"], **settings})
    with pytest.raises(ValueError, match=reason):
        apply_files(config)


def test_one_transform_does_what_the_two_did(files, tmp_path):
    one = str(tmp_path / "one.h5")
    compose_files(ComposeConfig(transforms=(files["scale"], files["shift"]), fixed=files["fixed"], output=one))
    points = np.array([(0.0, 1.0, -2.0), (3.0, -2.0, 1.0)])
    np.testing.assert_allclose(read_transform(one).map(points), 0.9 * (points + (1.0, -1.0, 0.5)), atol=1e-5)


def test_the_inverse_is_written_and_its_residual_told(files, tmp_path, caplog):
    both, inverse = str(tmp_path / "both.nii.gz"), str(tmp_path / "inverse.nii.gz")
    compose_files(ComposeConfig(transforms=(files["scale"], files["shift"]), fixed=files["fixed"], output=both))
    caplog.set_level("INFO", logger="absl")
    inversion = invert_file(InvertConfig(transform=both, moving=files["moving"], output=inverse))
    points = np.array([(0.0, 1.0, -2.0), (3.0, -2.0, 1.0)])
    there = read_transform(both).map(points)
    np.testing.assert_allclose(read_transform(inverse).map(there), points, atol=5e-3)
    assert inversion.mean_residual_mm < 1e-2 and "Residual: mean" in caplog.text


def test_the_inverse_of_a_matrix_is_exact(files, tmp_path):
    inverse = str(tmp_path / "inverse.mat")
    assert invert_file(InvertConfig(transform=files["scale"], moving=files["moving"], output=inverse)) is None
    np.testing.assert_allclose(read_transform(inverse).map((0.9, 1.8, 2.7)), (1.0, 2.0, 3.0), atol=1e-6)


def test_a_moving_image_elsewhere_is_refused(files, tmp_path):
    far = MOVING.copy()
    far[:3, 3] += 300.0
    other = save(tmp_path / "other.nii.gz", ramp(MOVING), far)
    with pytest.raises(InputError, match="Is this its moving image"):
        invert_file(InvertConfig(transform=files["shift"], moving=other, output=str(tmp_path / "i.nii.gz")))


def test_a_series_keeps_its_time_and_the_reference_its_display(files, tmp_path):
    series = nibabel.Nifti1Image(np.stack([ramp(MOVING)] * 2, axis=-1), MOVING)
    series.header.set_zooms((1.0, 1.2, 1.1, 0.8))
    series.header.set_xyzt_units("mm", "sec")
    nibabel.save(series, tmp_path / "series.nii.gz")
    reference = nibabel.load(files["fixed"])
    reference.header["cal_min"], reference.header["cal_max"], reference.header["pixdim"][4] = 3000, 8000, 2.3
    reference.header.set_xyzt_units("mm")
    nibabel.save(reference, files["fixed"])
    apply(files, "shift", image=str(tmp_path / "series.nii.gz"), moved=files["out"])
    header = nibabel.load(files["out"]).header
    np.testing.assert_allclose(header.get_zooms(), (*nibabel.load(files["fixed"]).header.get_zooms()[:3], 0.8))
    assert (header.get_xyzt_units(), float(header["cal_max"])) == (("mm", "sec"), 0.0)


@pytest.mark.parametrize("dtype", ("float64", "int8", "uint16", "uint32", "bool"))
@pytest.mark.parametrize("name", ("out.mgz", "out.nii.gz"))
def test_any_type_of_voxels_is_written(files, tmp_path, rng, dtype, name):
    values = rng.integers(0, 2, SHAPE)
    np.savez(tmp_path / "image.npz", vol=values.astype(dtype))
    nibabel.save(nibabel.Nifti1Image(values.astype("uint8"), FIXED), tmp_path / "reference.nii.gz")
    files = {**files, "fixed": str(tmp_path / "reference.nii.gz")}
    settings = {"image": str(tmp_path / "image.npz"), "moved": str(tmp_path / name), "interpolation": "nearest"}
    write_transform(tmp_path / "nothing.mat", AffineTransform(np.eye(4)), Grid(SHAPE, FIXED))
    apply({**files, "nothing": str(tmp_path / "nothing.mat")}, "nothing", **settings)
    # One that knows no place lies on the reference, whose shape it has.
    np.testing.assert_array_equal(load(tmp_path / name), values)


def test_labels_in_an_npz_move(files, tmp_path, rng):
    labels = rng.integers(0, 9, SHAPE).astype("int32")
    np.savez(tmp_path / "seg.npz", seg=labels)
    write_transform(tmp_path / "nothing.mat", AffineTransform(np.eye(4)), Grid(SHAPE, FIXED))
    files = {**files, "nothing": str(tmp_path / "nothing.mat")}
    apply(files, "nothing", labels=str(tmp_path / "seg.npz"), moved_labels=files["out"])
    np.testing.assert_array_equal(load(files["out"]), labels)


def test_labels_in_an_npz_lie_where_their_image_lies(files, tmp_path):
    labels = load(files["labels"])
    np.savez(tmp_path / "seg.npz", seg=labels)
    outputs = {"moved": files["out"], "moved_labels": str(tmp_path / "moved_seg.nii.gz")}
    moved = []
    for path in (files["labels"], str(tmp_path / "seg.npz")):
        apply(files, "shift", image=files["moving"], labels=path, **outputs)
        moved.append(load(outputs["moved_labels"]))
    assert moved[0].any()
    np.testing.assert_array_equal(*moved)


@pytest.mark.parametrize("what", ("image", "labels"))
def test_a_slice_through_a_transform_of_volumes_is_refused(files, tmp_path, what):
    path = save(tmp_path / "slice.nii.gz", np.arange(168).reshape(12, 14, 1).astype("int16"), MOVING)
    output = {"image": "moved", "labels": "moved_labels"}[what]
    with pytest.raises(InputError, match=r"slice.nii.gz: has 2 axes, but .*shift.nii.gz moves images with 3"):
        apply(files, "shift", moving=files["moving"], **{what: path, output: files["out"]})


@pytest.mark.parametrize("victim", ("moving", "fixed", "labels", "shift", "points"))
def test_no_input_is_overwritten(files, victim):
    with pytest.raises(InputError, match="are one file"):
        apply(
            files,
            "shift",
            image=files["moving"],
            labels=files["labels"],
            points=files["points"],
            moved=files[victim],
            moved_labels=files["out"],
            points_follow_image=True,
            moved_points=files["points_out"],
        )


@pytest.mark.parametrize("victim", ("fixed", "moving"))
def test_no_image_of_a_transform_is_overwritten(files, victim):
    ends = {"fixed": files["fixed"], "moving": files["moving"], "output": files[victim]}
    with pytest.raises(InputError, match=f"--output and --{victim} are one file"):
        compose_files(ComposeConfig(transforms=(files["scale"], files["shift"]), **ends))
    with pytest.raises(InputError, match=f"--output and --{victim} are one file"):
        invert_file(InvertConfig(transform=files["shift"], **ends))


def test_a_transform_is_not_inverted_onto_itself(files):
    with pytest.raises(InputError, match="--output and --transform are one file"):
        invert_file(InvertConfig(transform=files["shift"], moving=files["moving"], output=files["shift"]))


def test_a_statistic_map_keeps_its_holes_and_loses_no_voxel_beside_them(files, tmp_path):
    image = ramp(MOVING)
    image[:3] = np.nan
    path = save(tmp_path / "zstat.nii.gz", image, MOVING)
    apply(files, "shift", image=path, moved=files["out"])
    points = Grid(SHAPE, FIXED).points() + (1.0, -1.0, 0.5)
    moved, location = load(files["out"]), Grid(SHAPE, MOVING).to_indices(points)
    mask = inside(points)
    whole, hole = mask & (location[..., 0] >= 3), mask & (location[..., 0] < 2.49)
    assert whole.any() and hole.any()
    np.testing.assert_allclose(moved[whole], points[whole] @ (1.0, -2.0, 0.5) + 100.0, atol=1e-3)
    assert np.isnan(moved[hole]).all() and np.isfinite(moved[mask & (location[..., 0] > 2.51)]).all()


@pytest.mark.parametrize("ending", (".nii.gz", ".mgz", ".nrrd", ".mha"))
def test_ct_outside_its_field_of_view_is_air_in_every_format(files, tmp_path, ending):
    ct = (10 * ramp(MOVING)).astype("int16")
    source, out = str(tmp_path / f"ct{ending}"), str(tmp_path / f"moved{ending}")
    write_volume(source, ct, read_image(files["moving"]))
    apply(files, "shift", image=source, moved=out, fill_value=-1024.0)
    moved = read_image(out).array[..., 0]
    location = Grid(SHAPE, MOVING).to_indices(Grid(SHAPE, FIXED).points() + (1.0, -1.0, 0.5))
    outside = np.any((location < -0.51) | (location > np.array(SHAPE) - 0.49), axis=-1)
    assert outside.mean() > 0.2 and np.all(moved[outside] == -1024)
    reference = str(tmp_path / "moved_by_nifti.nii.gz")
    apply(files, "shift", image=save(tmp_path / "ct2.nii.gz", ct, MOVING), moved=reference, fill_value=-1024.0)
    np.testing.assert_allclose(moved, load(reference), atol=1e-2)


def test_ct_is_its_air_outside_unasked(files, tmp_path):
    ct = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 7 - 1010).astype("int16")
    ct[2:-2, 2:-2, 2:-2] = 40
    apply(files, "shift", image=save(tmp_path / "ct.nii.gz", ct, MOVING), moved=files["out"])
    location = Grid(SHAPE, MOVING).to_indices(Grid(SHAPE, FIXED).points() + (1.0, -1.0, 0.5))
    outside = np.any((location < -0.51) | (location > np.array(SHAPE) - 0.49), axis=-1)
    assert outside.mean() > 0.2 and np.all(load(files["out"])[outside] == -1010)


def test_allen_ids_come_through(files, tmp_path):
    ids = np.array([0, 496345672, 496345664, 182305697, 2**32 - 7])
    labels = ids[np.random.default_rng(0).integers(0, 5, SHAPE)].astype("uint32")
    apply(files, "shift", labels=save(tmp_path / "ccf.nii.gz", labels, MOVING), moved_labels=files["out"])
    assert set(np.unique(load(files["out"])).tolist()) == set(ids.tolist())


def test_images_of_every_format_are_moved_alike(files, tmp_path, rng):
    """SimpleITK writes the moving image, nibabel the segmentation as a pair, and the reference is an NRRD."""
    labels = load(files["labels"])
    nibabel.save(nibabel.Nifti1Pair(labels, MOVING), tmp_path / "seg.img")
    for name in ("moving.mhd", "fixed.nhdr"):
        image = sitk.ReadImage(files[name.split(".")[0]])
        sitk.WriteImage(image, str(tmp_path / name))
    apply(files, "shift", image=files["moving"], moved=files["out"])
    expected = load(files["out"])
    apply(files, "shift", labels=files["labels"], moved_labels=files["out"])
    expected_labels = load(files["out"])
    files = {**files, "fixed": str(tmp_path / "fixed.nhdr")}
    for out in ("out.nii.gz", "out.mha", "out.nrrd"):
        apply(files, "shift", image=str(tmp_path / "moving.mhd"), moved=str(tmp_path / out))
        moved = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / out))).T
        np.testing.assert_allclose(moved, expected, atol=1e-3)
        apply(files, "shift", labels=str(tmp_path / "seg.hdr"), moved_labels=str(tmp_path / f"labels_{out}"))
        moved = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"labels_{out}"))).T
        # Where a place is halfway between two voxels, the rounding of a header decides.
        assert (moved == expected_labels).mean() > 0.99


def test_the_tr_of_an_mgz_series_reaches_the_moved_nifti(files, tmp_path):
    image = nibabel.MGHImage(np.stack([ramp(MOVING)] * 2, axis=-1), MOVING)
    image.header.set_zooms((*image.header.get_zooms()[:3], 2000.0))
    nibabel.save(image, tmp_path / "bold.mgz")
    apply(files, "shift", image=str(tmp_path / "bold.mgz"), moved=files["out"])
    header = nibabel.load(files["out"]).header
    assert header.get_zooms()[3] == 2.0 and header.get_xyzt_units()[1] == "sec"


def test_fields_of_niftyreg_and_spm_move_an_image_as_itk_s(files, tmp_path):
    apply(files, "shift", image=files["moving"], moved=files["out"])
    expected = load(files["out"])
    positions = Grid(SHAPE, FIXED).points() + (1.0, -1.0, 0.5)
    for name in ("NREG_TRANS", "Mapping"):
        image = nibabel.Nifti1Image(positions[:, :, :, None].astype("float32"), FIXED)
        image.header.set_intent(1007, name=name)
        nibabel.save(image, tmp_path / "y.nii")
        apply({**files, "y": str(tmp_path / "y.nii")}, "y", image=files["moving"], moved=files["out"])
        np.testing.assert_allclose(load(files["out"]), expected, atol=1e-3)
