"""A graph reads NIfTI files as nibabel does."""

import gzip

import nibabel
import numpy as np
import pytest
import tensorflow as tf

from vxm_tf.serving.graph.nifti_reading import read_nifti

RNG = np.random.default_rng(0)
ROTATION = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = ROTATION * np.sign(np.linalg.det(ROTATION)) @ np.diag([1.5, 2.0, 0.8])
OBLIQUE[:3, 3] = -20.0, 31.0, 7.5
LIA = np.array([[-1.0, 0, 0, 80], [0, 0, 1, -90], [0, -1, 0, 70], [0, 0, 0, 1]])
SHAPE = (9, 10, 11)


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def read(content):
    return read_nifti(content, "moving")


def as_bytes(image):
    return image.to_bytes()


def nifti(dtype="<i2", affine=LIA, slope=None, sform=1, qform=1, values=None):
    """A NIfTI image with numbers that its type holds, in its byte order."""
    dtype = np.dtype(dtype)
    if values is None:
        values = RNG.normal(size=SHAPE) * 10 if dtype.kind == "f" else _integers(dtype)
    header = nibabel.Nifti1Header(endianness="<" if dtype.byteorder in "<=|" else ">")
    header.set_data_dtype(dtype)
    image = nibabel.Nifti1Image(values.astype(dtype), affine, header)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    if slope:
        image.header.set_slope_inter(*slope)
    return image


def _integers(dtype):
    limits = np.iinfo(dtype)
    # Beyond 2^53 neither side is exact.
    return RNG.integers(max(limits.min, -(2**52)), min(limits.max, 2**52), SHAPE, dtype="int64", endpoint=True)


DTYPES = [order + kind for order in "<>" for kind in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compress", (gzip.compress, bytes), ids=("gz", "plain"))
def test_every_type_and_byte_order(dtype, compress):
    image = nifti(dtype)
    values, affine = read(compress(as_bytes(image)))
    np.testing.assert_allclose(values, image.get_fdata(dtype="float64").astype("float32"), rtol=1e-6)
    np.testing.assert_allclose(affine, image.affine, atol=1e-6)


def test_the_largest_unsigned_numbers():
    values = np.full(SHAPE, 2**64 - 2**40, "uint64")
    values[0] = 0
    np.testing.assert_allclose(read(as_bytes(nifti("<u8", values=values))).values, values.astype("float32"), rtol=1e-6)


@pytest.mark.parametrize("slope", [(0.5, 3.0), (-2.0, 0.0)])
def test_scaling(slope):
    # nibabel's slope on saving is another's business, so the header's numbers are written over.
    image = nifti("<i2")
    raw = bytearray(as_bytes(image))
    raw[112:120] = np.array(slope, "<f4").tobytes()
    expected = nibabel.Nifti1Image.from_bytes(bytes(raw)).get_fdata()
    np.testing.assert_allclose(read(bytes(raw)).values, expected, rtol=1e-6)


@pytest.mark.parametrize("affine", (LIA, OBLIQUE, np.diag([-2.0, 1.0, 1.0, 1.0])), ids=("LIA", "oblique", "flipped"))
@pytest.mark.parametrize("sform, qform", [(1, 1), (1, 0), (0, 1), (0, 0), (4, 2)])
def test_place_in_the_world(affine, sform, qform):
    image = nifti(affine=affine, sform=sform, qform=qform)
    found = read(as_bytes(image)).affine
    if sform or qform:
        np.testing.assert_allclose(found, nibabel.Nifti1Image.from_bytes(as_bytes(image)).affine, atol=1e-5)
    else:
        np.testing.assert_allclose(found, np.diag([*image.header.get_zooms(), 1.0]), atol=1e-6)


def test_the_sform_counts_before_the_qform():
    image = nifti(affine=LIA)
    image.set_qform(OBLIQUE, 1)
    np.testing.assert_allclose(read(as_bytes(image)).affine, LIA, atol=1e-6)


@pytest.mark.parametrize("unit, factor", [("mm", 1.0), ("meter", 1000.0), ("micron", 0.001), ("unknown", 1.0)])
def test_units(unit, factor):
    image = nifti(affine=np.diag([3.0, 4.0, 5.0, 1.0]))
    image.header.set_xyzt_units(unit, "sec")
    np.testing.assert_allclose(
        np.diag(read(as_bytes(image)).affine), [3 * factor, 4 * factor, 5 * factor, 1], rtol=1e-6
    )


def test_a_fourth_axis_of_one_volume_and_a_later_start():
    image = nifti("<i2", values=RNG.integers(0, 99, (*SHAPE, 1)))
    raw = as_bytes(image)
    later = bytearray(raw[:352] + bytes(48) + raw[352:])
    later[108:112] = np.array([400], "<f4").tobytes()
    for content in (raw, bytes(later)):
        np.testing.assert_array_equal(read(content).values, np.asarray(image.dataobj)[..., 0])


def changed(at, numbers, dtype):
    """A valid file with some numbers of the header written over."""
    raw = bytearray(as_bytes(nifti("<i2")))
    piece = np.array(numbers, dtype).tobytes()
    raw[at : at + len(piece)] = piece
    return bytes(raw)


def nifti2():
    return nibabel.Nifti2Image(np.arange(990, dtype="int16").reshape(SHAPE), LIA).to_bytes()


def with_nan():
    values = np.ones(SHAPE, "float32")
    values[1, 2, 3] = np.nan
    return as_bytes(nifti("<f4", values=values))


GOOD = as_bytes(nifti("<i2"))
WRONG = {
    "empty": (b"", "is no NIfTI file"),
    "short": (GOOD[:200], "is no NIfTI file"),
    "text": (b"hello " * 100, "is no NIfTI-1 file"),
    "nifti-2": (nifti2(), "is no NIfTI-1 file"),
    "pair": (GOOD[:344] + b"ni1\0" + GOOD[348:], "its magic is"),
    "truncated": (GOOD[:-10], "is cut short"),
    "series": (as_bytes(nifti("<i2", values=RNG.integers(0, 9, (4, 5, 6, 3)))), "one volume with three axes"),
    "slice": (as_bytes(nifti("<i2", values=RNG.integers(0, 9, (14, 15)))), "one volume with three axes"),
    "no dimensions": (changed(40, [0], "<i2"), "one volume with three axes"),
    "eight dimensions": (changed(40, [8], "<i2"), "one volume with three axes"),
    "negative size": (changed(42, [-9], "<i2"), "at least 1 voxel"),
    "zero size": (changed(44, [0], "<i2"), "at least 1 voxel"),
    "huge": (changed(42, [32767, 32767, 32767], "<i2"), "at most"),
    "larger than the file": (changed(42, [100, 100, 100], "<i2"), "is cut short"),
    "complex": (changed(70, [32], "<i2"), "voxels are integers"),
    "no type": (changed(70, [12345], "<i2"), "voxels are integers"),
    "early": (changed(108, [20.0], "<f4"), "voxels start at byte"),
    "offset nan": (changed(108, [np.nan], "<f4"), "voxels start at byte"),
    "offset beyond": (changed(108, [1e9], "<f4"), "is cut short"),
    "intercept nan": (changed(112, [2.0, np.nan], "<f4"), "scl_inter"),
    "singular": (changed(280, [0.0] * 12, "<f4"), "singular"),
    "affine nan": (changed(280, [np.nan] * 12, "<f4"), "singular or not finite"),
    "affine far away": (changed(280, [1.0, 0.0, 0.0, 1e8], "<f4"), "beyond 1e.07 mm"),
    "unit": (changed(123, [5], "u1"), "unit of length"),
    "nan": (with_nan(), "NaN or infinite"),
    "end of float32": (changed(112, [1e28, 0.0], "<f4"), "beyond 1e.30"),
    "constant": (as_bytes(nifti("<i2", values=np.full(SHAPE, 7))), "same value"),
    "gzip alone": (b"\x1f\x8b", "cut short"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case):
    content, message = WRONG[case]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        read(content)
    assert "moving: " in str(caught.value)


def test_an_archive_that_says_to_be_huge_is_not_inflated():
    content = gzip.compress(GOOD)[:-4] + np.array([2**31 - 1], "<i4").tobytes()
    with pytest.raises(tf.errors.InvalidArgumentError, match="says to hold more than"):
        read(content)


def test_a_damaged_archive_is_an_error_and_no_crash():
    content = bytearray(gzip.compress(GOOD))
    content[40:60] = bytes(20)
    with pytest.raises(tf.errors.OpError):
        read(bytes(content))


def test_headers_of_random_bytes_are_errors_or_volumes():
    """A short form of `benchmarks/fuzz_nifti.py`."""
    raw = np.frombuffer(GOOD, "uint8")
    for _ in range(1000):
        bad = raw.copy()
        places = RNG.integers(0, 352, RNG.integers(1, 12))
        bad[places] = RNG.integers(0, 256, len(places))
        try:
            values, affine = read(bad.tobytes())
        except tf.errors.OpError:
            continue
        assert np.all(np.isfinite(values)) and np.all(np.isfinite(affine))
