"""NRRD and MetaImage files, placed where SimpleITK places them, in and out."""

import builtins

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from vxm_tf.files.errors import VolumeError
from vxm_tf.files.extensions import names_volume
from vxm_tf.files.placement import has_place, orientation_of, spacing_mm_of
from vxm_tf.files.volumes import read_image, read_labels, read_series
from vxm_tf.files.writing import check_output, write_volume
from vxm_tf.spatial import read_spatial_image

NAMES = ("v.nrrd", "v.nhdr", "v.mha", "v.mhd")
SHAPE = (6, 7, 8)
TURNED = Rotation.from_euler("xyz", (100, -9, 17), degrees=True).as_matrix()


@pytest.fixture
def values(rng):
    return rng.integers(-900, 3000, SHAPE).astype("int16")


@pytest.fixture
def placed(tmp_path):
    """placed(name, array, vector) -> (path, SimpleITK's image) of an oblique, anisotropic image `[x, y, z, ...]`."""

    def write(name, array, vector=False):
        space = array.ndim - vector
        axes = [*range(space - 1, -1, -1), *([space] if vector else [])]
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(axes)), isVector=vector)
        direction = np.eye(space)
        if space >= 3:
            direction[:3, :3] = TURNED
        image.SetDirection(direction.ravel().tolist())
        image.SetSpacing((1.5, 2.0, 3.25, 2.5)[:space])
        image.SetOrigin((12.0, -31.0, 7.5, 0.0)[:space])
        sitk.WriteImage(image, str(tmp_path / name))
        return tmp_path / name, image

    return write


def ras(image, index):
    return np.array(image.TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_voxels_lie_where_simpleitk_places_them(placed, values, name):
    path, image = placed(name, values)
    found = read_spatial_image(path)
    np.testing.assert_array_equal(found.array[..., 0], values)
    for index in ((0, 0, 0), (5, 0, 0), (0, 6, 0), (0, 0, 7), (2, 3, 4)):
        np.testing.assert_allclose(found.grid.to_world(index), ras(image, index), atol=1e-9)
    np.testing.assert_allclose(spacing_mm_of(path), (1.5, 2.0, 3.25))
    assert orientation_of(path, 3) == found.grid.orientation


@pytest.mark.parametrize("name", ("v.nrrd", "v.mha"))
@pytest.mark.parametrize("like", ("like.nii.gz", "like.mgz", "like.mha"))
def test_simpleitk_reads_what_is_written_at_the_same_places(tmp_path, placed, values, name, like):
    source, image = placed("source.nrrd", values)
    write_volume(tmp_path / like, values, read_image(source))
    write_volume(tmp_path / name, values, read_image(tmp_path / like))
    again = sitk.ReadImage(str(tmp_path / name))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again).T, values)
    for index in ((0, 0, 0), (5, 6, 7), (2, 3, 4)):
        np.testing.assert_allclose(ras(again, index), ras(image, index), atol=1e-4)


@pytest.mark.parametrize("space", ("right-anterior-superior", "left-anterior-superior", "left-posterior-superior"))
def test_an_nrrd_in_any_world_is_read_into_ras(tmp_path, values, space):
    head = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: {space}\nsizes: 6 7 8\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nkinds: domain domain domain\n"
        "endian: little\nencoding: raw\nspace origin: (10,20,30)\n\n"
    )
    (tmp_path / "v.nrrd").write_bytes(head.encode() + values.astype("<i2").tobytes(order="F"))
    found = read_spatial_image(tmp_path / "v.nrrd")
    signs = [1 if word in ("right", "anterior", "superior") else -1 for word in space.split("-")]
    np.testing.assert_allclose(found.grid.to_world((1, 1, 1)), np.multiply(signs, (12, 23, 34)))
    np.testing.assert_array_equal(found.array[..., 0], values)


def test_files_that_state_no_position_have_none(tmp_path, values):
    nrrd = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 6 7 8\nspacings: 2 3 4\nendian: little\nencoding: raw\n\n"
    meta = (
        b"ObjectType = Image\nNDims = 3\nDimSize = 6 7 8\nElementSpacing = 2 3 4\nElementType = MET_SHORT\n"
        b"ElementDataFile = LOCAL\n"
    )
    for name, head in (("v.nrrd", nrrd), ("v.mha", meta)):
        (tmp_path / name).write_bytes(head + values.astype("<i2").tobytes(order="F"))
        volume = read_image(tmp_path / name)
        np.testing.assert_array_equal(volume.array[..., 0], values)
        assert not has_place(volume) and volume.spacing_mm == (2.0, 3.0, 4.0)


@pytest.mark.parametrize("name", NAMES)
def test_slices_are_images_with_two_axes(placed, values, name):
    path, image = placed(name, values[..., 0])
    found = read_spatial_image(path)
    np.testing.assert_array_equal(found.array[..., 0], values[..., 0])
    np.testing.assert_allclose(
        found.grid.to_world((2, 3)), np.negative(image.TransformIndexToPhysicalPoint((2, 3))), atol=1e-9
    )


@pytest.mark.parametrize("name", ("v.nrrd", "v.mha"))
def test_a_slice_is_written_for_simpleitk(tmp_path, placed, values, name):
    source, image = placed("source.mha", values[..., 0])
    write_volume(tmp_path / name, values[..., 0], read_image(source))
    again = sitk.ReadImage(str(tmp_path / name))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again).T, values[..., 0])
    for index in ((0, 0), (5, 6)):
        point = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(again.TransformIndexToPhysicalPoint(index), point, atol=1e-5)


@pytest.mark.parametrize("name", ("v.nrrd", "v.mha"))
def test_a_series_keeps_its_volumes_and_its_time_step(tmp_path, placed, rng, name):
    stored = rng.normal(size=(*SHAPE, 3)).astype("float32")
    path, image = placed("source.mha", stored)
    series = read_series(path)
    np.testing.assert_array_equal(series.array, stored)
    write_volume(tmp_path / name, stored, series, series=series)
    again = sitk.ReadImage(str(tmp_path / name))
    assert again.GetSize() == (*SHAPE, 3) and again.GetSpacing()[3] == 2.5
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again).T, stored)
    with pytest.raises(VolumeError, match="A series of volumes is not one image"):
        read_image(path)


@pytest.mark.parametrize("name", ("v.nrrd", "v.mha"))
def test_vectors_are_the_last_axis(tmp_path, placed, rng, name):
    stored = rng.normal(size=(*SHAPE, 3)).astype("float32")
    path, _ = placed(name, stored, vector=True)
    np.testing.assert_array_equal(read_image(path, multichannel=True).array, stored)
    with pytest.raises(VolumeError, match="--multichannel"):
        read_image(path)
    write_volume(tmp_path / name, stored)
    assert sitk.ReadImage(str(tmp_path / name)).GetNumberOfComponentsPerPixel() == 3


def test_a_colour_slice_is_refused(placed, values):
    path, _ = placed("v.mha", values[..., :3], vector=True)
    with pytest.raises(VolumeError, match="2-D image with 3 values in each pixel, such as colours"):
        read_image(path)


def test_labels_come_in_whole_numbers(placed, values):
    labels = np.abs(values).astype("uint32") + 496345672
    np.testing.assert_array_equal(read_labels(placed("v.nrrd", labels)[0]).array, labels)


@pytest.mark.parametrize(("name", "data"), [("v.nhdr", "v.raw.gz"), ("v.mhd", "v.raw"), ("v.mhd", "v.zraw")])
def test_a_header_without_its_voxels_names_the_missing_file(tmp_path, placed, values, name, data):
    path, image = placed(name, values)
    sitk.WriteImage(image, str(path), name == "v.nhdr" or data.endswith("zraw"))
    for file in tmp_path.glob("v.*raw*"):
        file.rename(tmp_path / "elsewhere")
    with pytest.raises(VolumeError, match=rf"{name}: is a header whose voxels lie in {data}, and that file is missing"):
        read_image(path)


@pytest.mark.parametrize("name", ("v.nrrd", "v.mha"))
def test_a_file_cut_in_half_is_named(placed, values, name):
    path, _ = placed(name, values)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(VolumeError, match=f"{name}: cannot be read"):
        read_image(path)


def test_a_missing_package_is_named(tmp_path, placed, values, monkeypatch):
    path, _ = placed("v.nrrd", values)
    real = builtins.__import__

    def without_simpleitk(name, *rest, **more):
        if name == "SimpleITK":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_simpleitk)
    for act in (read_image, check_output):
        with pytest.raises(VolumeError, match=r"need SimpleITK. Install it with: pip install 'vxm-tf\[formats\]'"):
            act(path)


def test_pairs_of_files_are_not_written(tmp_path, values):
    for name in ("v.mhd", "v.nhdr", "v.hdr", "v.img"):
        with pytest.raises(VolumeError, match="a pair of files is read, but not written"):
            write_volume(tmp_path / name, values)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ("v.hdr", "v.img", "v.hdr.gz", "v.img.gz"))
def test_a_nifti_pair_is_read_by_either_name(tmp_path, values, name):
    affine = np.diag([-2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = 7, 8, 9
    nibabel.save(nibabel.Nifti1Pair(values, affine), tmp_path / name.replace("hdr", "img"))
    found = read_spatial_image(tmp_path / name)
    np.testing.assert_array_equal(found.array[..., 0], values)
    np.testing.assert_allclose(found.grid.affine, affine)
    (tmp_path / (name.replace("hdr", "img") if "hdr" in name else name.replace("img", "hdr"))).unlink()
    with pytest.raises(VolumeError, match=r"one volume lies in two files here, and v\.(hdr|img).* is missing"):
        read_image(tmp_path / name)


def test_an_analyze_file_lies_as_in_spm_and_fsl_and_says_that_left_and_right_are_unknown(tmp_path, values):
    nibabel.save(nibabel.AnalyzeImage(values, np.diag([-2.0, 3.0, 4.0, 1.0])), tmp_path / "v.hdr")
    assert not has_place(read_image(tmp_path / "v.img"))
    with pytest.warns(UserWarning, match="Analyze file, which stores no orientation: left and right cannot be told"):
        found = read_spatial_image(tmp_path / "v.img")
    np.testing.assert_array_equal(found.array[..., 0], values)
    np.testing.assert_allclose(found.grid.affine[:3, :3], np.diag([-2.0, 3.0, 4.0]))
    np.testing.assert_allclose(found.grid.affine, nibabel.load(tmp_path / "v.img").affine)


def test_an_analyze_file_with_spm_s_mat_file_has_that_place(tmp_path, values):
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = 7, 8, 9
    nibabel.save(nibabel.Spm99AnalyzeImage(values, affine), tmp_path / "v.img")
    assert (tmp_path / "v.mat").exists()
    np.testing.assert_allclose(read_spatial_image(tmp_path / "v.hdr").grid.affine, affine)


def test_a_pair_of_files_is_one_volume_in_a_folder(tmp_path, values):
    nibabel.save(nibabel.Nifti1Pair(values, np.eye(4)), tmp_path / "v.img")
    (tmp_path / "alone.img").write_bytes(b"x")
    (tmp_path / "v.raw").write_bytes(b"x")
    assert sorted(p.name for p in tmp_path.iterdir() if names_volume(p)) == ["alone.img", "v.hdr"]


@pytest.mark.parametrize("dtype", (">i2", ">f8", "bool", "float16", "uint64"))
def test_every_number_type_is_written(tmp_path, values, dtype):
    stored = np.abs(values % 100).astype(dtype)
    for name in ("v.nrrd", "v.mha"):
        write_volume(tmp_path / name, stored)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name))).T, stored)
