"""A file that cannot serve ends in one `VolumeError` that names it and says what is wrong."""

import gzip

import nibabel
import numpy as np
import pytest

from vxm_tf.files.errors import VolumeError
from vxm_tf.files.placement import spacing_mm_of
from vxm_tf.files.volumes import read_image, read_labels
from vxm_tf.files.writing import write_volume

SHAPE = (9, 10, 11)
RAMP = np.arange(990, dtype="float32").reshape(SHAPE)


def halve(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def refused(read, path, *reasons):
    with pytest.raises(VolumeError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    for reason in reasons:
        assert reason in message


@pytest.mark.parametrize("read", (read_image, read_labels))
@pytest.mark.parametrize("name", ("gone.nii.gz", "gone.npz", "gone.mgz"))
def test_a_missing_file_is_named(tmp_path, read, name):
    refused(read, tmp_path / name, "no such file")


def test_a_header_that_cannot_be_read_is_named(tmp_path):
    refused(spacing_mm_of, tmp_path / "gone.nii.gz", "no such file")
    write_volume(tmp_path / "v.nii.gz", RAMP)
    (tmp_path / "v.nii.gz").write_bytes((tmp_path / "v.nii.gz").read_bytes()[:40])
    refused(spacing_mm_of, tmp_path / "v.nii.gz", "cannot be read")


def test_values_on_a_surface_are_no_volume(tmp_path):
    vertices = nibabel.cifti2.BrainModelAxis.from_surface([0, 1, 2], 3, "CortexLeft")
    scalars = nibabel.cifti2.ScalarAxis(["thickness"])
    image = nibabel.Cifti2Image(np.zeros((1, 3), "float32"), (scalars, vertices))
    nibabel.save(image, tmp_path / "v.dscalar.nii")
    refused(read_image, tmp_path / "v.dscalar.nii", "holds no volume but a Cifti2Image")


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    (tmp_path / "v.nii.gz").mkdir()
    refused(read_image, tmp_path / "v.nii.gz", "no such file")


@pytest.mark.parametrize("read", (read_image, read_labels))
def test_a_file_with_another_extension_is_named_with_those_that_can_be_read(tmp_path, read):
    (tmp_path / "v.png").write_bytes(b"x")
    refused(read, tmp_path / "v.png", ".nii.gz", ".mgz", ".npz")


@pytest.mark.parametrize("read", (read_image, read_labels))
@pytest.mark.parametrize("name", ("v.nii", "v.nii.gz", "v.mgz", "v.mgh"))
def test_a_file_cut_in_half_is_named(write_nibabel, rng, read, name):
    path = write_nibabel(name, rng.integers(0, 30000, SHAPE).astype("int16"))
    refused(read, halve(path), "truncated or damaged")


@pytest.mark.parametrize("read, key", [(read_image, "vol"), (read_labels, "seg")])
def test_an_npz_cut_in_half_is_named(tmp_path, rng, read, key):
    np.savez_compressed(tmp_path / "v.npz", **{key: rng.integers(0, 255, SHAPE)})
    refused(read, halve(tmp_path / "v.npz"), "truncated or damaged")


def test_an_npz_whose_voxels_were_overwritten_is_named(tmp_path, rng):
    np.savez(tmp_path / "v.npz", vol=rng.random(SHAPE))
    content = bytearray((tmp_path / "v.npz").read_bytes())
    content[4000:4100] = bytes(100)
    (tmp_path / "v.npz").write_bytes(content)
    refused(read_image, tmp_path / "v.npz", "damaged")


@pytest.mark.parametrize("name", ("v.nii.gz", "v.nii", "v.mgz", "v.npz"))
def test_a_text_file_with_the_name_of_a_volume_is_named(tmp_path, name):
    (tmp_path / name).write_text("Dear reader, these are not the voxels that you are looking for.\n" * 20)
    refused(read_image, tmp_path / name, "cannot be read")


@pytest.mark.parametrize("name", ("v.nii.gz", "v.nii", "v.mgz", "v.npz"))
def test_an_empty_file_is_named(tmp_path, name):
    (tmp_path / name).touch()
    refused(read_image, tmp_path / name, "cannot be read")


def test_gzipped_nonsense_is_named(tmp_path):
    with gzip.open(tmp_path / "v.nii.gz", "wb") as stream:
        stream.write(b"nonsense" * 200)
    refused(read_image, tmp_path / "v.nii.gz", "cannot be read")


@pytest.mark.parametrize("value", (np.nan, np.inf, -np.inf))
def test_voxels_that_are_no_numbers_are_counted(write_nibabel, value):
    array = RAMP.copy()
    array[1, 2, 3] = array[4, 5, 6] = value
    refused(read_image, write_nibabel("v.nii.gz", array), "2 of 990 voxels", "NaN or infinite")


def test_a_number_beyond_float32_counts_as_infinite(write_nibabel):
    array = RAMP.astype("float64")
    array[0, 0, 0] = 1e300
    with np.errstate(over="ignore"):
        refused(read_image, write_nibabel("v.nii.gz", array), "1 of 990 voxels")


def test_a_constant_image_is_named_with_its_value(write_nibabel):
    refused(read_image, write_nibabel("v.nii.gz", np.full(SHAPE, 7, "int16")), "every voxel is 7", "constant")


def test_an_image_whose_channels_are_all_constant_is_named_with_their_values(write_nibabel):
    array = np.zeros((*SHAPE, 2), "float32")
    array[..., 1] = 3.5

    def read(path):
        return read_image(path, multichannel=True)

    refused(read, write_nibabel("v.nii.gz", array), "every voxel is 0, 3.5", "constant")
    array[2, 3, 4, 0] = 1.0
    assert read(write_nibabel("w.nii.gz", array)).array.shape == array.shape


@pytest.mark.parametrize("shape", [(0, 5), (4, 5, 0)])
def test_an_image_without_voxels_is_named(write_npz, shape):
    refused(read_image, write_npz("v.npz", vol=np.zeros(shape)), str(shape))


@pytest.mark.parametrize("shape", [(4, 5, 6, 2), (4, 5, 6, 2, 3), (40,)])
def test_another_number_of_axes_is_named_with_the_shape(write_npz, rng, shape):
    refused(read_image, write_npz("v.npz", vol=rng.random(shape)), "2-D or 3-D", str(shape))
    refused(read_labels, write_npz("s.npz", seg=np.zeros(shape, "uint8")), "2-D or 3-D", str(shape))


def test_a_4_d_image_brings_the_advice_to_say_that_it_has_channels(write_nibabel, rng):
    refused(read_image, write_nibabel("v.nii.gz", rng.random((4, 5, 6, 2))), "--multichannel")


def test_a_multichannel_image_with_too_many_axes_is_named(write_nibabel, rng):
    path = write_nibabel("v.nii.gz", rng.random((4, 5, 6, 2, 3)))
    refused(lambda path: read_image(path, multichannel=True), path, "2-D or 3-D")


def test_colour_voxels_are_refused(write_nibabel):
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    refused(read_image, write_nibabel("v.nii.gz", colours), "colour")


def test_complex_voxels_are_refused(write_nibabel):
    refused(read_image, write_nibabel("v.nii.gz", RAMP.astype("complex64")), "complex")


@pytest.mark.parametrize("value", ("text", 1 + 2j))
def test_an_npz_without_numbers_is_refused(write_npz, value):
    refused(read_image, write_npz("v.npz", vol=np.full(SHAPE, value)), "numbers are needed")


def test_an_npz_with_pickled_objects_is_not_opened(write_npz):
    refused(read_image, write_npz("v.npz", vol=np.array([{"a": 1}], dtype=object)), "cannot be read")


@pytest.mark.parametrize("read, key", [(read_image, "vol"), (read_labels, "seg")])
def test_an_npz_without_the_array_is_named_with_what_it_holds(tmp_path, read, key):
    np.savez(tmp_path / "v.npz", something=RAMP, else_=RAMP)
    refused(read, tmp_path / "v.npz", repr(key), "something, else_")


@pytest.mark.parametrize("value", (0.5, np.nan, 1e12))
def test_labels_that_are_no_whole_numbers_are_refused(write_nibabel, value):
    labels = np.round(RAMP)
    labels[3, 3, 3] = value
    refused(read_labels, write_nibabel("seg.nii.gz", labels), "whole numbers")


@pytest.mark.parametrize("name", ("out.png", "out", "out.hdr"))
def test_writing_to_another_extension_is_refused(tmp_path, name):
    refused(lambda path: write_volume(path, RAMP), tmp_path / name, "format")
    assert not list(tmp_path.iterdir())


POINTERS = {
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
    "git annex get": b"/annex/objects/MD5E-s12345--0123.nii.gz\n",
    "web page": b"\n<!DOCTYPE html>\n<html><body>Please log in</body></html>\n",
    "it is empty": b"",
    "dcm2niix": bytes(128) + b"DICM" + bytes(800),
    "ZIP archive": b"PK\x03\x04" + bytes(100),
    "web page, not the data": gzip.compress(b"<html><body>404</body></html>"),
    "compressed twice": gzip.compress(gzip.compress(bytes(500))),
    "tar archive": gzip.compress(b"a.nii" + bytes(252) + b"ustar" + bytes(250)),
    "picture (PNG)": b"\x89PNG\r\n\x1a\n" + bytes(100),
}


@pytest.mark.parametrize("reason", POINTERS)
@pytest.mark.parametrize("name", ("v.nii.gz", "v.nii", "v.mgz", "v.mha", "v.nrrd"))
def test_a_file_that_stands_in_for_a_volume_is_called_what_it_is(tmp_path, name, reason):
    (tmp_path / name).write_bytes(POINTERS[reason])
    for read in (read_image, read_labels):
        with pytest.raises(VolumeError) as caught:
            read(tmp_path / name)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name}: cannot be read: ") and reason in message
        assert "truncated" not in message and "Error" not in message


@pytest.mark.parametrize(
    ("target", "reason"),
    [(".git/annex/objects/x/y/MD5E-s1--0.nii.gz", "git annex get"), ("../gone.nii.gz", "is a link to ../gone.nii.gz")],
)
def test_a_link_that_leads_nowhere_is_named(tmp_path, target, reason):
    (tmp_path / "v.nii.gz").symlink_to(target)
    refused(read_image, tmp_path / "v.nii.gz", reason)


def test_a_scaling_that_is_no_number_is_named(write_nibabel):
    path = write_nibabel("v.nii", RAMP)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([1.0, np.nan], "<f4").tobytes()
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"scales the voxels by numbers that are not finite.*scl_inter") as caught:
        read_image(path)
    assert "truncated" not in str(caught.value)


@pytest.mark.parametrize("kind", (nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.MGHImage))
def test_a_file_is_compressed_or_not_whatever_its_name_says(tmp_path, kind):
    plain, zipped = (".mgh", ".mgz") if kind is nibabel.MGHImage else (".nii", ".nii.gz")
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    nibabel.save(kind(RAMP, affine), tmp_path / f"v{plain}")
    content = (tmp_path / f"v{plain}").read_bytes()
    (tmp_path / f"plain{zipped}").write_bytes(content)
    (tmp_path / f"zipped{plain}").write_bytes(gzip.compress(content))
    for name in (f"plain{zipped}", f"zipped{plain}"):
        volume = read_image(tmp_path / name)
        np.testing.assert_array_equal(volume.array[..., 0], RAMP)
        np.testing.assert_allclose(volume.source.affine, affine)
        assert spacing_mm_of(tmp_path / name) == (2.0, 3.0, 4.0)


@pytest.mark.parametrize("head, ending", [(b"NRRD0004\n", ".nrrd"), (b"ObjectType = Image\n", ".mha")])
def test_a_volume_under_the_name_of_another_format_is_called_what_it_is(tmp_path, head, ending):
    (tmp_path / "v.nii").write_bytes(head + bytes(400))
    refused(read_image, tmp_path / "v.nii", f"let its name end in {ending}")


def test_a_compressed_file_cut_near_its_start_is_truncated(write_nibabel, rng):
    path = write_nibabel("v.nii.gz", rng.integers(0, 30000, SHAPE).astype("int16"))
    path.write_bytes(path.read_bytes()[:250])
    refused(read_image, path, "truncated")
