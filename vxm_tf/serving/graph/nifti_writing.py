"""Writing NIfTI-1 files as bytes in a graph."""

import nibabel
import numpy as np
import tensorflow as tf

from vxm_tf.serving.graph.conditions import after, require
from vxm_tf.serving.graph.raw_bytes import to_bytes

# NIfTI's intent code for plain vectors, which ITK reads unchanged.
VECTOR_INTENT = 1007


def write_nifti(values: tf.Tensor, affine: tf.Tensor, intent: int = 0) -> tf.Tensor:
    """Content of an uncompressed `.nii` file, string scalar.

    Args:
        values: float32 `[x, y, z]`, or `[x, y, z, 3]` for vectors, which are written along the fifth axis.
        affine: float64 `[4, 4]`, voxel indices to world millimetres; written as sform and as qform.
        intent: NIfTI's code for the meaning of the vectors.
    """
    vectors = len(values.shape) == 4
    sizes = tf.shape(values)
    ones = [1] * (2 if vectors else 4)
    dims = [5, *tf.unstack(sizes[:3]), 1, 3] if vectors else [3, *tf.unstack(sizes)]
    dims = tf.cast(tf.stack([*dims, *ones]), tf.int16)
    zooms, quaternion, handedness = _qform(affine)
    pixdim = tf.concat([[handedness], zooms, tf.ones(4, tf.float64)], axis=0)
    quaternion = tf.concat([quaternion, affine[:3, 3]], axis=0)
    template = _template(intent)
    parts = [
        template[:40], _bytes(dims), template[56:76], _bytes(pixdim, tf.float32), template[108:256],
        _bytes(quaternion, tf.float32), _bytes(affine[:3], tf.float32), template[328:],
        to_bytes(tf.transpose(values)),
    ]  # fmt: skip
    return tf.strings.join(parts)


def right_angled(affine: tf.Tensor, name: str) -> tf.Tensor:
    """The affine, whose axes must be at right angles: ITK reads no others."""
    axes = affine[:3, :3] / tf.norm(affine[:3, :3], axis=0)
    straight = tf.reduce_max(tf.abs(tf.matmul(axes, axes, transpose_a=True) - tf.eye(3, dtype=tf.float64))) < 1e-4
    message = (
        f"{name}: the axes of its grid are not at right angles, which a transform for ITK cannot hold; its affine is"
    )
    return after([require(straight, message, affine)], affine)


def _template(intent: int) -> bytes:
    """Bytes of a header without sizes and affine, and the four zeros after it that say that no extension follows."""
    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_dtype(np.float32)
    header.set_xyzt_units("mm")
    header["intent_code"] = intent
    header["qform_code"] = header["sform_code"] = 1
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    return header.binaryblock + b"\0\0\0\0"


def _bytes(tensor: tf.Tensor, dtype: tf.DType | None = None) -> tf.Tensor:
    return to_bytes(tensor if dtype is None else tf.cast(tensor, dtype))


def _qform(affine: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(zooms `[3]`, quaternion's b, c, d `[3]`, handedness) as computed by `nibabel.Nifti1Header.set_qform`.

    The quaternion is the eigenvector of the largest eigenvalue of Bar-Itzhack's matrix (J. Guidance 23, 2000).
    """
    zooms = tf.norm(affine[:3, :3], axis=0)
    rotation = affine[:3, :3] / zooms
    handedness = tf.where(tf.linalg.det(rotation) < 0, tf.constant(-1.0, tf.float64), 1.0)
    rotation *= tf.stack([1.0, 1.0, handedness])
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (tf.unstack(row) for row in tf.unstack(rotation))
    matrix = tf.stack(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    vector = tf.linalg.eigh(matrix / 3.0)[1][:, -1]
    vector *= tf.where(vector[3] < 0, tf.constant(-1.0, tf.float64), 1.0)
    return zooms, vector[:3], handedness
