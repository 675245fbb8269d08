"""Reading NIfTI-1 files from bytes in a graph."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from vxm_tf.serving.graph.conditions import after, finite, not_too_large, require, sound_affine
from vxm_tf.serving.graph.gzip_bytes import maybe_gunzip
from vxm_tf.serving.graph.raw_bytes import KINDS, numbers

HEADER_BYTES = 348
DATA_OFFSET = 352
# Rounding error of float32 in the quaternion of a turn by 180 degrees, as in nibabel.
ROUNDING = 3 * 2.0**-23
# Millimetres in a unit of length, by the header's code; code 0, unknown, is taken for millimetres.
UNITS_MM = (1.0, 1000.0, 1.0, 0.001)


class NiftiVolume(NamedTuple):
    """A volume in world space.

    Attributes:
        values: float32 `[x, y, z]`, the header's scaling applied.
        affine: float64 `[4, 4]`, voxel indices to world millimetres, RAS+.
    """

    values: tf.Tensor
    affine: tf.Tensor


class _Fields(NamedTuple):
    """Numbers in a header.

    Attributes:
        little: bool scalar, whether the file is little-endian.
        int16: the number at each even byte 2 k, as int32 `[k]`.
        float32: the number at each fourth byte 4 k, as float64 `[k]`.
        units: code of the unit of length, int32 scalar.
    """

    little: tf.Tensor
    int16: tf.Tensor
    float32: tf.Tensor
    units: tf.Tensor


def read_nifti(content: tf.Tensor, name: str) -> NiftiVolume:
    """The volume in a `.nii` or `.nii.gz` file.

    It may have either byte order and hold integers of 8 to 64 bits or floats of 32 or 64 bits. The sform takes
    precedence over the qform. A request fails with a message unless the file is complete and holds one finite volume
    with three axes and a sound affine.

    Args:
        content: content of the file, string scalar.
        name: name of the volume in errors.
    """
    content = maybe_gunzip(content, name)
    fields = _fields(_header(content, name), name)
    shape = _shape(fields, name)
    values = finite(_scaled(_data(content, fields, shape, name), fields, name), name)
    varies = tf.reduce_max(values) > tf.reduce_min(values)
    values = after([require(varies, f"{name}: every voxel has the same value, so there is nothing to align.")], values)
    return NiftiVolume(values, sound_affine(_affine(fields, name), name))


def _header(content: tf.Tensor, name: str) -> tf.Tensor:
    length = tf.strings.length(content)
    long_enough = require(length >= DATA_OFFSET, f"{name}: is no NIfTI file; it holds so many bytes:", length)
    return tf.strings.substr(after([long_enough], content), 0, HEADER_BYTES)


def _fields(header: tf.Tensor, name: str) -> _Fields:
    little, big = (tf.io.decode_raw(header, tf.int32, little_endian=order)[0] for order in (True, False))
    message = f"{name}: is no NIfTI-1 file; the size of its header is not {HEADER_BYTES} but, read both ways,"
    known = require((little == HEADER_BYTES) | (big == HEADER_BYTES), message, little, big)
    # As numbers, because a server cannot put arbitrary bytes into the text of its answer.
    magic = tf.io.decode_raw(tf.strings.substr(header, 344, 3), tf.uint8)
    is_single = tf.reduce_all(magic == tuple(b"n+1"))
    single = require(is_single, f"{name}: is not one whole NIfTI-1 file (magic 110 43 49, n+1); its magic is", magic)
    header = after([known, single], header)
    is_little = little == HEADER_BYTES

    def read(dtype: tf.DType) -> tf.Tensor:
        both = [tf.io.decode_raw(header, dtype, little_endian=order) for order in (True, False)]
        return tf.ensure_shape(tf.where(is_little, *both), [HEADER_BYTES // dtype.size])

    int16, float32 = tf.cast(read(tf.int16), tf.int32), tf.cast(read(tf.float32), tf.float64)
    return _Fields(is_little, int16, float32, tf.cast(tf.io.decode_raw(header, tf.uint8)[123], tf.int32) % 8)


def _shape(fields: _Fields, name: str) -> tf.Tensor:
    """Shape of the volume, int32 `[3]`."""
    dims = fields.int16[20:28]
    used = tf.range(1, 8) <= dims[0]
    sizes = tf.where(used, dims[1:], 1)
    one_volume = (dims[0] >= 3) & (dims[0] <= 7) & tf.reduce_all(sizes[3:] == 1)
    check = require(one_volume, f"{name}: expected one volume with three axes; the header's dimensions are", dims)
    return after([check, not_too_large(sizes[:3], name)], sizes[:3])


def _data(content: tf.Tensor, fields: _Fields, shape: tf.Tensor, name: str) -> tf.Tensor:
    """Voxels as stored, float64 `[x, y, z]`."""
    code = fields.int16[35]
    codes = tf.constant(list(KINDS))
    place = tf.argmax(codes == code, output_type=tf.int32)
    message = f"{name}: voxels are integers of 8 to 64 or floats of 32 or 64 bits; NIfTI's code for the type is"
    supported = require(tf.reduce_any(codes == code), message, code)
    bytes_each = tf.gather(tf.constant([KINDS[c][1] for c in KINDS], tf.int64), after([supported], place))
    offset = fields.float32[27]
    # An offset of 0 means right after the header.
    sensible = tf.math.is_finite(offset) & ((offset == 0) | (offset >= DATA_OFFSET)) & (offset < 2.0**31)
    check = require(sensible, f"{name}: voxels start at byte {DATA_OFFSET} or later; the header says", offset)
    start = tf.cast(tf.maximum(after([check], offset), float(DATA_OFFSET)), tf.int64)
    size = tf.reduce_prod(tf.cast(shape, tf.int64)) * bytes_each
    length, end = tf.cast(tf.strings.length(content), tf.int64), start + size
    whole = require(end <= length, f"{name}: is cut short; its bytes, and those it should have:", length, end)
    data = tf.strings.substr(after([whole], content), start, size)
    branches = [_branch(data, c, order) for c in KINDS for order in (True, False)]
    flat = tf.switch_case(2 * place + tf.cast(~fields.little, tf.int32), branches)
    return tf.transpose(tf.reshape(flat, tf.reverse(shape, [0])), (2, 1, 0))


def _branch(data: tf.Tensor, code: int, little_endian: bool) -> Callable[[], tf.Tensor]:
    return lambda: numbers(data, code, little_endian)


def _scaled(values: tf.Tensor, fields: _Fields, name: str) -> tf.Tensor:
    """Values slope * stored + intercept, float32; as stored where the slope is 0 or not finite."""
    slope, intercept = fields.float32[28], fields.float32[29]
    applies = tf.math.is_finite(slope) & (slope != 0)
    check = require(~applies | tf.math.is_finite(intercept), f"{name}: scl_inter is no number, but", intercept)
    slope = tf.where(applies, slope, 1.0)
    intercept = tf.where(applies, after([check], intercept), 0.0)
    return tf.cast(values * slope + intercept, tf.float32)


def _affine(fields: _Fields, name: str) -> tf.Tensor:
    """Matrix float64 `[4, 4]` from voxel indices to world millimetres."""
    qform_code, sform_code = fields.int16[126], fields.int16[127]
    sform = tf.reshape(fields.float32[70:82], (3, 4))
    zooms = fields.float32[20:23]
    bare = tf.concat([tf.linalg.diag(tf.abs(zooms)), tf.zeros((3, 1), tf.float64)], axis=1)
    choice = tf.where(sform_code > 0, 0, tf.where(qform_code > 0, 1, 2))
    rows = tf.switch_case(choice, [lambda: sform, lambda: _qform(fields, zooms, name), lambda: bare])
    unit = fields.units
    message = f"{name}: the unit of length is 0 (unknown), 1 (m), 2 (mm) or 3 (um); the header says"
    known = require(unit < len(UNITS_MM), message, unit)
    rows *= tf.gather(tf.constant(UNITS_MM, tf.float64), after([known], unit))
    return tf.concat([rows, tf.constant([[0, 0, 0, 1]], tf.float64)], axis=0)


def _qform(fields: _Fields, zooms: tf.Tensor, name: str) -> tf.Tensor:
    """The first three rows `[3, 4]` of the affine of the quaternion, whose first part follows from its length of 1."""
    b, c, d = tf.unstack(fields.float32[64:67])
    rest = 1.0 - (b * b + c * c + d * d)
    message = f"{name}: the qform's quaternion is longer than 1:"
    rest = after([require(rest > -ROUNDING, message, fields.float32[64:67])], rest)
    a = tf.where(rest < ROUNDING, tf.constant(0.0, tf.float64), tf.sqrt(tf.abs(rest)))
    rotation = tf.stack(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handedness = tf.where(fields.float32[19] < 0, tf.constant(-1.0, tf.float64), 1.0)
    steps = zooms * tf.stack([1.0, 1.0, handedness])
    return tf.concat([rotation * steps, fields.float32[67:70, None]], axis=1)
