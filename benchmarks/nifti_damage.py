"""Valid NIfTI files, and damage to their headers, voxels and archives, at random.

`fuzz_nifti.py` sends them.
"""

import gzip
import struct

import nibabel
import numpy as np

# Fields of a NIfTI header: offset, format, and values at and beyond the edges of their meaning.
SHORTS = (-32768, -1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 64, 127, 128, 255, 256, 512, 1024, 4096, 32767)
FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 100.0, 348.0, 351.9, 352.0, 353.0, 1e-45, 1e-30, 1e-6, 1e3, 1e6, 1e9, 1e30,
    3.4e38, -3.4e38, 2.0**31, -(2.0**31), 2.0**63, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TYPES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 255, 256, 511, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, -1, 32767)
FIELDS = {
    "sizeof_hdr": (0, "i", (0, -1, 348, 540, 352, 1543569408, 2**31 - 1, -(2**31))),
    **{f"dim{k}": (40 + 2 * k, "h", SHORTS) for k in range(8)},
    "datatype": (70, "h", TYPES),
    "bitpix": (72, "h", SHORTS),
    **{f"pixdim{k}": (76 + 4 * k, "f", FLOATS) for k in range(8)},
    "vox_offset": (108, "f", FLOATS),
    "scl_slope": (112, "f", FLOATS),
    "scl_inter": (116, "f", FLOATS),
    "xyzt_units": (123, "B", tuple(range(9)) + (10, 255)),
    "qform_code": (252, "h", SHORTS),
    "sform_code": (254, "h", SHORTS),
    **{f"quaternion{k}": (256 + 4 * k, "f", FLOATS) for k in range(6)},
    **{f"srow{k}": (280 + 4 * k, "f", FLOATS) for k in range(12)},
    "magic": (344, "4s", (b"n+1\0", b"ni1\0", b"n+2\0", b"\0\0\0\0", b"\xff\xff\xff\xff")),
    "extension": (348, "4s", (b"\1\0\0\0", b"\xff\xff\xff\xff")),
}


def seeds(rng):
    """Valid files of all types, byte orders and orientations, with and without qform and sform."""
    files = []
    for index, kind in enumerate(("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8") * 2):
        shape = tuple(int(size) for size in rng.integers(4, 14, 3))
        values = 20 + 80 * rng.random(shape)
        values[0] = 0
        header = nibabel.Nifti1Header(endianness="<>"[index % 2])
        header.set_data_dtype(header.endianness + kind)
        affine = np.diag([*rng.uniform(2.0, 6.0, 3), 1.0])[[*rng.permutation(3), 3]]
        affine[:3, 3] = -2.5 * np.abs(affine[:3, :3]).sum(axis=1)
        image = nibabel.Nifti1Image(values.astype(header.endianness + kind), affine, header)
        image.set_sform(affine, index % 3 % 2)
        image.set_qform(affine, index % 3 // 2)
        files.append(image.to_bytes())
    return files


def mutated(content, rng):
    """A file with one to four kinds of damage; some are gzipped, and some of those archives are damaged too."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        data = rng.choice([random_bytes, field, field, field, truncated, voxel_bytes])(data, rng)
    archive = rng.random() < 0.4
    return damaged_archive(bytes(data), rng) if archive else bytes(data)


def random_bytes(data, rng):
    """Replace some bytes of the header at random."""
    for _ in range(int(rng.integers(1, 6))):
        if data:
            data[int(rng.integers(min(len(data), 352)))] = int(rng.integers(256))
    return data


def field(data, rng):
    """Set one field of the header to a boundary value, in the file's own byte order."""
    offset, form, values = FIELDS[str(rng.choice(list(FIELDS)))]
    order = "<" if data[:4] == struct.pack("<i", 348) else ">"
    packed = struct.pack(order + form, values[int(rng.integers(len(values)))])
    if len(data) >= offset + len(packed):
        data[offset : offset + len(packed)] = packed
    return data


def truncated(data, rng):
    """Cut three files in ten at a random byte."""
    return data[: int(rng.integers(len(data) + 1))] if rng.random() < 0.3 else data


def voxel_bytes(data, rng):
    """Replace some voxels by random bytes, or by the extremes of their type."""
    for _ in range(int(rng.integers(1, 4))):
        if len(data) > 368:
            place = int(rng.integers(352, len(data) - 8))
            data[place : place + 8] = rng.bytes(8) if rng.random() < 0.5 else rng.choice([b"\xff" * 8, b"\x7f" * 8])
    return data


def damaged_archive(data, rng):
    """Compress with gzip, and damage most of the archives."""
    archive, kind = bytearray(gzip.compress(data, 1)), int(rng.integers(6))
    if kind == 0:
        return bytes(archive[: int(rng.integers(len(archive)))])
    if kind == 1:
        return bytes(archive) + rng.bytes(int(rng.integers(40)))
    if kind == 2:
        return bytes(archive[:-4]) + struct.pack("<I", int(rng.choice([0, 1, len(data) + 1, 2**30, 2**32 - 1])))
    if kind == 3:
        return bytes(archive) * 2
    if kind == 4:
        for _ in range(int(rng.integers(1, 5))):
            archive[int(rng.integers(len(archive)))] = int(rng.integers(256))
    return bytes(archive)
