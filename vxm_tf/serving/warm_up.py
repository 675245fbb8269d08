"""Warm-up requests, which TensorFlow Serving answers when it loads a version, to spare users a slow first one."""

import gzip
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import tensorflow as tf

from vxm_tf.models import RegistrationNetwork
from vxm_tf.spatial.working_grid import GridSettings

# The path at which TensorFlow Serving looks for them.
FILE = Path("assets.extra") / "tf_serving_warmup_requests"
SIZE = 32


def write_requests(network: RegistrationNetwork, folder: str | os.PathLike, names: Iterable[str]) -> None:
    """Write one small request for each signature into an exported version.

    Args:
        network: the exported network.
        folder: folder of the version.
        names: names of its signatures.
    """
    path = Path(folder) / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in names:
            writer.write(prediction_log(name, example(network, name)))


def example(network: RegistrationNetwork, name: str) -> dict[str, Any]:
    """Inputs of a signature, arrays and bytes by name, that show two overlapping balls."""
    ndim = len(network.settings["image_shape"])
    moving, fixed = (_ball(ndim, shift) for shift in (0.0, 2.0))
    if name == "register_nifti":
        spacing = GridSettings.recorded(network.metadata).spacing_mm or (1.0,) * ndim
        affine = np.diag([*spacing, 1.0])
        return {k: nibabel.Nifti1Image(v, affine).to_bytes() for k, v in (("moving", moving), ("fixed", fixed))}
    if name == "register_bytes":
        shape, dtype = np.array(moving.shape, "int32"), b"float32"
        pair = {k: gzip.compress(v.tobytes(), mtime=0) for k, v in (("moving", moving), ("fixed", fixed))}
        return {**pair, **{f"{k}_shape": shape for k in pair}, **{f"{k}_dtype": dtype for k in pair}}
    if name in ("warp", "warp_labels"):
        displacement = np.zeros((1, *moving.shape, ndim), "float32")
        key, kind = ("labels", "int32") if name == "warp_labels" else ("image", "float32")
        return {key: moving[None, ..., None].astype(kind), "displacement": displacement}
    counts = network.settings["channels"]
    return {
        key: np.repeat(image[None, ..., None], count, axis=-1)
        for key, image, count in zip(("moving", "fixed"), (moving, fixed), counts)
    }


def _ball(ndim: int, shift: float) -> np.ndarray:
    places = np.stack(np.meshgrid(*[np.arange(SIZE)] * ndim, indexing="ij"))
    distance = np.linalg.norm(places - SIZE / 2 - shift, axis=0)
    return np.clip(SIZE / 4 - distance, 0.0, 1.0).astype("float32")


def prediction_log(signature: str, inputs: dict[str, Any], model: str = "vxm") -> bytes:
    """A `tensorflow.serving.PredictionLog` with a request, serialised.

    It has only four messages; the package tensorflow-serving-api, which could write them, pins a TensorFlow version.
    """
    spec = _field(1, model.encode()) + _field(3, signature.encode())
    entries = [_entry(name, value) for name, value in inputs.items()]
    request = _field(1, spec) + b"".join(_field(2, entry) for entry in entries)
    return _field(6, _field(1, request))


def _entry(name: str, value: Any) -> bytes:
    return _field(1, name.encode()) + _field(2, tf.make_tensor_proto(value).SerializeToString())


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes in protocol buffers' format."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
