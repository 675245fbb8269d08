"""FreeSurfer's transform files: warps in .mgz, as in FreeSurfer 7.4 and later and in surfa, and affine .lta.

A warp has the grid of the target (fixed image) and stores, for each of its voxels, a position in the source (moving
image) in one of four forms: voxel indices or world coordinates of the source, or either as a difference from the
target's. All four are read. World displacements are written, since they do not depend on the order of the source's
voxels. An .lta file holds the matrix from source (moving) to target (fixed), which is the inverse of ours.

Layout of an .mgz warp, big-endian: the header of an MGH image with three frames whose version number holds an intent
in its second and third byte, float32 voxels, five scan parameters, and tags. Source: surfa 0.6.3 and FreeSurfer's
mri.h.
"""

import gzip
import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.formats.freesurfer_geometry import pack_geometry, unpack_geometry
from vxm_tf.spatial.formats.nifti_fields import check_not_sheared
from vxm_tf.spatial.formats.parts import check_axes, required_grid
from vxm_tf.spatial.formats.reading import reading
from vxm_tf.spatial.grid import Grid
from vxm_tf.spatial.transforms import DisplacementField, Transform, dense, slabs

# Forms of a warp's vectors. Form 2 is world coordinates of the source.
ABSOLUTE_VOXELS, VOXELS, MM = 0, 1, 3
_VERSION, _WARP_INTENT, _FLOAT = 1, 3, 3
_HEADER_SIZE = 284
_TAG_GEOMETRY, _TAG_META, _TAG_GEOMETRY_WITH_SHEAR = 10, 13, 15
# The data of these tags have a fixed layout and no length before them.
_TAGS_WITHOUT_LENGTH = (1, 2, 11, 12, 20)
_OLD_TRANSFORM = 30
_DTYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}


def write_freesurfer_warp(
    path: str | os.PathLike, transform: Transform, fixed_grid: Grid, moving_grid: Grid | None
) -> None:
    """Write a transform as one displacement field in world millimetres, float32.

    Args:
        path: the file to write, `.mgz` or `.mgh`.
        transform: the transform, from fixed to moving space.
        fixed_grid: grid of the target.
        moving_grid: grid of the source, from which other tools compute the source's voxel indices.

    Raises:
        InputError: no moving grid, other than three axes, sheared grids, or a path that cannot be written.
    """
    check_axes(path, fixed_grid.ndim, "FreeSurfer")
    moving_grid = required_grid(path, moving_grid, "moving", "FreeSurfer's warps hold the geometry of both images")
    for grid in (fixed_grid, moving_grid):
        check_not_sheared(path, grid, "the header of an MGH file")
    field = np.asarray(dense(transform, fixed_grid).displacement_mm, ">f4")
    header = struct.pack(">7i", _WARP_INTENT << 8 | _VERSION, *fixed_grid.shape, 3, _FLOAT, 1)
    # The image's header holds the part of the geometry between the shape and the shear.
    header += struct.pack(">h", 1) + pack_geometry(fixed_grid)[16:76]
    geometry, with_shear = (
        # The name of the image's file takes 512 bytes and may be empty.
        b"".join(pack_geometry(grid, shear) + bytes(512) for grid in (moving_grid, fixed_grid))
        for shear in (False, True)
    )
    tags = struct.pack(">i", _TAG_GEOMETRY) + geometry
    tags += struct.pack(">iq", _TAG_GEOMETRY_WITH_SHEAR, len(with_shear)) + with_shear
    tags += struct.pack(">iqiif", _TAG_META, 12, MM, 1, 0.0)
    content = header.ljust(_HEADER_SIZE, b"\0") + field.tobytes(order="F") + struct.pack(">5f", *[0.0] * 5) + tags

    def save(temporary: str) -> None:
        compressed = str(path).lower().endswith("z")
        Path(temporary).write_bytes(gzip.compress(content, 6, mtime=0) if compressed else content)

    replace_atomically(path, save)


def read_freesurfer_warp(path: str | os.PathLike) -> DisplacementField:
    """The displacement field in an .mgz or .mgh warp of any of the four forms.

    Raises:
        InputError: a damaged file, an image that is no warp, or a warp without its geometries.
    """
    with reading(path):
        content = Path(path).read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        stream = io.BytesIO(content)
        vectors = _read_vectors(stream)
        _take(stream, ">5f")
        tags = _read_tags(stream)
        if "source" not in tags or "form" not in tags:
            raise InputError("lacks the tags with the source's and target's geometry that a FreeSurfer warp has.")
        return _as_field(vectors, tags["source"], tags["target"], tags["form"])


def _read_vectors(stream: io.BytesIO) -> np.ndarray:
    version, *shape, kind, _ = _take(stream, ">7i")
    if version & 0xFF != _VERSION:
        raise InputError(f"is no MGH file: its version is {version & 0xFF}, expected {_VERSION}.")
    intent = version >> 8 & 0xFFFF
    if intent != _WARP_INTENT:
        raise InputError(f"is no warp: its intent is {intent}, a warp's is {_WARP_INTENT}. Is it an image?")
    if shape[3] != 3 or kind not in _DTYPES:
        raise InputError(f"a warp has 3 frames of numbers; got {shape[3]} of type {kind}.")
    stream.seek(_HEADER_SIZE)
    dtype = np.dtype(_DTYPES[kind])
    data = stream.read(int(np.prod(shape)) * dtype.itemsize)
    vectors = np.frombuffer(data, dtype)
    if len(vectors) != np.prod(shape):
        raise InputError(f"is truncated: {np.prod(shape)} values announced, {len(vectors)} there. Copy it again.")
    return vectors.reshape(shape, order="F")


def _read_tags(stream: io.BytesIO) -> dict[str, Any]:
    """The grids "source" and "target" and the "form" of the vectors, as far as the tags hold them."""
    tags: dict[str, Any] = {}
    while len(head := stream.read(4)) == 4 and (tag := struct.unpack(">i", head)[0]):
        if tag == _TAG_GEOMETRY:
            for name in ("source", "target"):
                tags.setdefault(name, _read_geometry(stream, shear=False))
        elif tag in _TAGS_WITHOUT_LENGTH:
            raise InputError(f"has tag {tag}, which no warp has.")
        else:
            (length,) = _take(stream, ">i" if tag == _OLD_TRANSFORM else ">q")
            end = stream.tell() + length
            if tag == _TAG_GEOMETRY_WITH_SHEAR:
                tags |= {name: _read_geometry(stream, shear=True) for name in ("source", "target")}
            elif tag == _TAG_META:
                (tags["form"],) = _take(stream, ">i")
            stream.seek(end)
    return tags


def _read_geometry(stream: io.BytesIO, shear: bool) -> Grid:
    size = 88 if shear else 76
    grid = unpack_geometry(stream.read(size), shear)
    stream.read(512)
    return grid


def _take(stream: io.BytesIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))


def _as_field(vectors: np.ndarray, source: Grid, target: Grid, form: int) -> DisplacementField:
    if form not in range(4):
        raise InputError(f"the form of its vectors is {form}; expected 0 to 3.")
    if vectors.shape[:-1] != target.shape:
        raise InputError(f"has shape {vectors.shape[:-1]}, but its target {target.shape}.")
    displacement_mm = np.empty(vectors.shape, "float32")
    for start, stop in slabs(target.shape):
        displacement_mm[start:stop] = _displacement(
            vectors[start:stop].astype("float64"), target.slab_points(start, stop), source, target, form
        )
    return DisplacementField(target, displacement_mm)


def _displacement(vectors: np.ndarray, points: np.ndarray, source: Grid, target: Grid, form: int) -> np.ndarray:
    """The displacement in world millimetres of a warp's vectors at points of the target."""
    if form == VOXELS:
        # The vectors are differences between the indices of source and target.
        vectors = vectors + target.to_indices(points)
    if form in (ABSOLUTE_VOXELS, VOXELS):
        vectors = source.to_world(vectors)
    return vectors if form == MM else vectors - points
