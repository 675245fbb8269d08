"""Volumes come out of files as they went in, whatever the format stores them as."""

import nibabel
import numpy as np
import pytest

from vxm_tf.files.errors import VolumeError
from vxm_tf.files.extensions import extension, stem
from vxm_tf.files.placement import spacing_mm_of
from vxm_tf.files.volumes import Volume, own_labels, read_image, read_labels, read_series
from vxm_tf.files.writing import write_volume

SHAPE = (9, 10, 11)
SPACING_MM = (2.0, 1.25, 1.5)
NIBABEL_NAMES = ("v.nii", "v.nii.gz", "v.mgz", "v.mgh")


@pytest.fixture
def array(rng):
    return rng.random(SHAPE, dtype="float32")


@pytest.fixture
def like(write_nibabel):
    """A volume on a turned, anisotropic grid."""
    return read_image(write_nibabel("like.nii.gz", np.arange(990, dtype="int16").reshape(SHAPE)))


@pytest.mark.parametrize("name", (*NIBABEL_NAMES, "v.npz"))
def test_an_image_survives_writing_and_reading(tmp_path, array, name):
    write_volume(tmp_path / name, array)
    np.testing.assert_array_equal(read_image(tmp_path / name).array, array[..., None])


@pytest.mark.parametrize("name", (*NIBABEL_NAMES, "v.npz"))
def test_labels_survive_writing_and_reading_as_integers(tmp_path, rng, name):
    labels = rng.integers(0, 12175, SHAPE).astype("int32")
    write_volume(tmp_path / name, labels)
    answer = read_labels(tmp_path / name).array
    assert answer.dtype == np.int32
    np.testing.assert_array_equal(answer, labels)


@pytest.mark.parametrize("name", NIBABEL_NAMES)
def test_the_affine_of_the_volume_it_is_like_is_written(tmp_path, array, like, affine, name):
    write_volume(tmp_path / name, array, like)
    np.testing.assert_allclose(read_image(tmp_path / name).source.affine, affine, atol=1e-5)


@pytest.mark.parametrize("name", NIBABEL_NAMES)
def test_an_image_from_a_file_knows_its_voxel_size(tmp_path, array, like, name):
    write_volume(tmp_path / name, array, like)
    np.testing.assert_allclose(read_image(tmp_path / name).spacing_mm, SPACING_MM, rtol=1e-6)


def test_an_npz_keeps_the_voxel_size_of_the_volume_it_is_like(tmp_path, array, like):
    write_volume(tmp_path / "v.npz", array, like)
    np.testing.assert_allclose(read_image(tmp_path / "v.npz").spacing_mm, SPACING_MM, rtol=1e-6)


def test_a_nifti_like_an_npz_has_its_voxel_size(tmp_path, array, write_npz):
    like = read_image(write_npz("like.npz", spacing_mm=np.array(SPACING_MM)))
    write_volume(tmp_path / "v.nii.gz", array, like)
    np.testing.assert_allclose(np.diag(nibabel.load(tmp_path / "v.nii.gz").affine), (*SPACING_MM, 1.0))


def test_a_nifti_keeps_units_and_codes_of_the_header_it_is_like(tmp_path, array, affine):
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=4)
    write_volume(tmp_path / "v.nii.gz", array, Volume(array, SPACING_MM, image, tmp_path))
    header = nibabel.load(tmp_path / "v.nii.gz").header
    assert (header.get_xyzt_units(), int(header["sform_code"])) == (("mm", "sec"), 4)


def test_floats_written_like_a_scaled_integer_file_are_stored_as_floats(tmp_path, array, affine):
    image = nibabel.Nifti1Image(np.zeros(SHAPE, "int16"), affine)
    image.header.set_slope_inter(0.5, 10.0)
    write_volume(tmp_path / "v.nii.gz", array, Volume(array, SPACING_MM, image, tmp_path))
    assert nibabel.load(tmp_path / "v.nii.gz").get_data_dtype() == np.float32
    np.testing.assert_array_equal(read_image(tmp_path / "v.nii.gz").array[..., 0], array)


def test_a_displacement_is_written_with_its_components_last(tmp_path, rng, like, affine):
    displacement = rng.normal(size=(*SHAPE, 3)).astype("float32")
    write_volume(tmp_path / "u.nii.gz", displacement, like)
    image = nibabel.load(tmp_path / "u.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), displacement)
    np.testing.assert_allclose(image.affine, affine)


@pytest.mark.parametrize("dtype", ("uint8", "int16", "uint16", "int32", "float32", "float64"))
def test_every_number_type_of_a_nifti_is_read_as_float32(write_nibabel, rng, dtype):
    stored = rng.integers(0, 200, SHAPE).astype(dtype)
    image = read_image(write_nibabel("v.nii.gz", stored)).array
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[..., 0], stored)


def test_the_scaling_of_a_nifti_is_applied(write_nibabel, rng):
    counts = rng.integers(-1000, 1000, SHAPE).astype("int16")
    path = write_nibabel("v.nii", counts)
    content = bytearray(path.read_bytes())
    # Slope and intercept in the header, as scanners write them; the counts stay.
    content[112:120] = np.array([0.5, 10.0], "<f4").tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(read_image(path).array[..., 0], 0.5 * counts + 10.0)


def test_a_big_endian_nifti_is_read(tmp_path, rng, affine):
    stored = rng.integers(-30000, 30000, SHAPE).astype(">i2")
    nibabel.save(nibabel.Nifti1Image(stored, affine, nibabel.Nifti1Header(endianness=">")), tmp_path / "v.nii")
    assert (tmp_path / "v.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
    image = read_image(tmp_path / "v.nii").array
    assert image.dtype.isnative
    np.testing.assert_array_equal(image[..., 0], stored)


@pytest.mark.parametrize("stored, expected", [((9, 10, 11, 1), SHAPE), ((9, 10, 1), (9, 10)), ((9, 10, 1, 1), (9, 10))])
def test_trailing_axes_of_one_voxel_are_dropped(write_nibabel, rng, stored, expected):
    values = rng.integers(0, 9, stored).astype("int16")
    image, labels = (read(write_nibabel("v.nii.gz", values)) for read in (read_image, read_labels))
    np.testing.assert_array_equal(image.array, values.reshape(expected)[..., None])
    np.testing.assert_array_equal(labels.array, values.reshape(expected))


def test_a_slice_has_as_many_voxel_sizes_as_axes(write_nibabel):
    path = write_nibabel("v.nii.gz", np.arange(90, dtype="int16").reshape(9, 10, 1))
    assert len(read_image(path).spacing_mm) == len(read_labels(path).spacing_mm) == 2


@pytest.mark.parametrize("shape", [(9, 10, 2), (9, 10, 11, 3), (9, 10, 11, 1)])
def test_the_last_axis_of_a_multichannel_image_is_channels(write_nibabel, rng, shape):
    stored = rng.random(shape, dtype="float32")
    np.testing.assert_array_equal(read_image(write_nibabel("v.nii.gz", stored), multichannel=True).array, stored)


def test_labels_that_a_file_stores_as_floats_are_integers(write_nibabel, rng):
    stored = rng.integers(0, 2036, SHAPE)
    labels = read_labels(write_nibabel("seg.nii.gz", stored.astype("float32"))).array
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, stored)


def test_an_npz_holds_image_and_labels_side_by_side(write_npz, rng):
    volume, labels = rng.random(SHAPE, dtype="float32"), rng.integers(0, 5, SHAPE)
    path = write_npz("v.npz", vol=volume, seg=labels)
    np.testing.assert_array_equal(read_image(path).array[..., 0], volume)
    np.testing.assert_array_equal(read_labels(path).array, labels)


@pytest.mark.parametrize(
    "name, ending, rest",
    [
        ("a/b.nii.gz", ".nii.gz", "b"),
        ("B.NII", ".nii", "B"),
        ("a.b.mgz", ".mgz", "a.b"),
        ("notes.txt", None, "notes.txt"),
    ],
)
def test_extension_and_stem_take_nii_gz_for_one(name, ending, rest):
    assert (extension(name), stem(name)) == (ending, rest)


@pytest.mark.parametrize("name", NIBABEL_NAMES)
def test_the_voxel_size_of_a_file_is_known_without_its_voxels(write_nibabel, name):
    np.testing.assert_allclose(spacing_mm_of(write_nibabel(name, np.zeros(SHAPE, "float32"))), SPACING_MM, rtol=1e-6)


@pytest.mark.parametrize("unit, mm", [("unknown", 1.0), ("meter", 1000.0), ("mm", 1.0), ("micron", 0.001)])
def test_the_voxel_size_is_in_millimetres_whatever_the_header_s_unit(tmp_path, unit, mm):
    image = nibabel.Nifti1Image(np.random.default_rng(0).random(SHAPE), np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "v.nii")
    expected = np.array([2.0, 3.0, 4.0]) * mm
    np.testing.assert_allclose(spacing_mm_of(tmp_path / "v.nii"), expected)
    np.testing.assert_allclose(read_image(tmp_path / "v.nii").spacing_mm, expected)


@pytest.mark.parametrize("stored, expected", [((2.0, 1.0, 3.0), (2.0, 1.0, 3.0)), (1.5, (1.5,)), (None, None)])
def test_the_voxel_size_of_an_npz_is_what_it_says(write_npz, stored, expected):
    path = write_npz("v.npz", **({} if stored is None else {"spacing_mm": np.array(stored)}))
    assert spacing_mm_of(path) == expected


def test_an_npz_with_a_segmentation_is_its_own_labels(write_npz):
    both, image = write_npz("both.npz", seg=np.zeros(SHAPE, "uint8")), write_npz("image.npz")
    assert (own_labels(both), own_labels(image)) == (both, None)


@pytest.mark.parametrize("dtype", ("uint8", "int16", "int32", "float32", "float64"))
@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 4), (9, 10)])
def test_a_series_keeps_its_own_type_and_has_its_number_last(write_nibabel, rng, shape, dtype):
    stored = rng.integers(0, 200, shape).astype(dtype)
    series = read_series(write_nibabel("v.nii.gz", stored))
    assert (series.array.dtype, series.spatial_shape) == (np.dtype(dtype), shape[:3])
    np.testing.assert_array_equal(series.array, stored if len(shape) == 4 else stored[..., None])
    np.testing.assert_allclose(series.spacing_mm, SPACING_MM[: len(shape)], rtol=1e-6)


def test_a_series_of_one_is_a_volume_and_a_slice_a_slice(write_nibabel):
    for stored, expected in (((*SHAPE, 1), (*SHAPE, 1)), ((9, 10, 1, 1), (9, 10, 1)), ((9, 10, 1, 4), (9, 10, 1, 4))):
        series = read_series(write_nibabel("v.nii", np.zeros(stored, "int16")))
        assert (series.array.shape, series.spatial_shape) == (expected, expected[:-1])


def test_a_series_in_an_archive(write_npz, rng):
    stored = rng.random((*SHAPE, 3))
    series = read_series(write_npz("v.npz", vol=stored, spacing_mm=np.array(SPACING_MM)))
    assert (series.source, series.spacing_mm, series.spatial_shape) == (None, SPACING_MM, SHAPE)
    np.testing.assert_array_equal(series.array, stored)


@pytest.mark.parametrize("value", (np.inf, -np.inf))
def test_a_series_with_infinite_voxels_is_refused(write_nibabel, value):
    stored = np.zeros((*SHAPE, 2), "float32")
    stored[1, 2, 3, 1] = value
    with pytest.raises(VolumeError, match="v.nii: 1 voxels are infinite"):
        read_series(write_nibabel("v.nii", stored))


def test_a_series_keeps_the_voxels_that_are_nan(write_nibabel):
    stored = np.zeros((*SHAPE, 2), "float32")
    stored[1, 2, 3, 1] = np.nan
    np.testing.assert_array_equal(read_series(write_nibabel("v.nii", stored)).array, stored)


@pytest.mark.parametrize("shape", [(9,), (2, 3, 4, 5, 6)])
def test_a_series_has_two_to_four_axes(write_npz, shape):
    with pytest.raises(VolumeError, match="v.npz: expected an image or a series of volumes, got an array of shape"):
        read_series(write_npz("v.npz", shape))


def test_the_last_axis_of_an_array_is_space_for_label_maps_alone(array, rng):
    labels = rng.integers(0, 9, SHAPE).astype("int32")
    assert Volume(labels, None, None, "v.npz").spatial_shape == SHAPE
    assert Volume(array, None, None, "v.npz").spatial_shape == SHAPE[:2]
    assert Volume(labels, None, None, "v.npz", SHAPE[:2]).spatial_shape == SHAPE[:2]


def test_an_mgz_is_in_millimetres_whatever_the_unit_of_the_volume_it_is_like(tmp_path, array):
    image = nibabel.Nifti1Image(array, np.diag([500.0, 500.0, 250.0, 1.0]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "like.nii")
    write_volume(tmp_path / "v.mgz", array, read_image(tmp_path / "like.nii"))
    np.testing.assert_allclose(read_image(tmp_path / "v.mgz").spacing_mm, (0.5, 0.5, 0.25))


def test_numbers_that_a_format_cannot_hold_are_refused(tmp_path):
    with pytest.raises(VolumeError, match="MGZ holds whole numbers of 32 bits, and these reach 4294967296"):
        write_volume(tmp_path / "v.mgz", np.full(SHAPE, 2**32))


ALLEN = 496345672


@pytest.mark.parametrize("dtype", ("int32", "uint32", "int64", "uint64", "float64"))
@pytest.mark.parametrize("largest", (ALLEN, 2**31 + 5, 2**32 + 1, 2**53))
def test_large_label_ids_are_kept_exactly(tmp_path, affine, dtype, largest):
    if dtype in ("int32", "uint32") and largest > np.iinfo(dtype).max:
        return
    stored = np.zeros(SHAPE, dtype)
    stored[1, 2, 3], stored[3, 2, 1] = largest, largest - 1
    nibabel.save(nibabel.Nifti1Image(stored, affine, dtype=dtype), tmp_path / "seg.nii.gz")
    labels = read_labels(tmp_path / "seg.nii.gz").array
    assert labels.dtype == ("int32" if largest < 2**31 else "int64")
    assert np.unique(labels).tolist() == [0, largest - 1, largest]
    for name in ("again.nii.gz", "again.nrrd", "again.mha", "again.npz"):
        write_volume(tmp_path / name, labels)
        np.testing.assert_array_equal(read_labels(tmp_path / name).array, labels)


def test_label_ids_that_float32_cannot_hold_are_warned_of(write_nibabel):
    stored = np.full(SHAPE, ALLEN, "float32")
    with pytest.warns(UserWarning, match="up to 496345664 as float32, which skips whole numbers above 16777216"):
        assert read_labels(write_nibabel("seg.nii.gz", stored)).array.flat[0] == 496345664


def test_labels_beyond_64_bits_are_refused(write_npz):
    with pytest.raises(VolumeError, match="holds 1.84467e"):
        read_labels(write_npz("v.npz", seg=np.full(SHAPE, 2**64 - 1, "uint64")))


@pytest.mark.parametrize("factor", (1.0000152, 1 - 1e-9, 1 - 1e-6))
def test_label_ids_that_were_stored_inexactly_are_rounded(write_nibabel, rng, factor):
    labels = rng.integers(0, 2036, SHAPE)
    np.testing.assert_array_equal(read_labels(write_nibabel("seg.nii.gz", labels * factor)).array, labels)


def test_label_ids_of_a_file_with_a_slope_are_rounded(write_nibabel, rng):
    labels = rng.integers(0, 250, SHAPE)
    path = write_nibabel("seg.nii", (labels * 10).astype("int16"))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.1, 0.0], "<f4").tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(read_labels(path).array, labels)


@pytest.mark.parametrize("value", (2.9, 3.01, 20000.4, 1e6 + 0.25))
def test_fractions_are_no_labels(write_nibabel, value):
    stored = np.zeros(SHAPE)
    stored[1, 2, 3] = value
    with pytest.raises(VolumeError, match="not whole numbers, as labels are: 1 of 990.*probability map.*round it"):
        read_labels(write_nibabel("seg.nii.gz", stored))
