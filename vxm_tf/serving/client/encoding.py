"""Encodes volumes as inputs of the signature `register_bytes`, and decodes its outputs, with NumPy alone."""

import gzip
import io
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vxm_tf.files.errors import InputError
from vxm_tf.serving.bytes_scale import LARGEST, STEPS_PER_VOXEL, ZERO
from vxm_tf.serving.client.errors import ServingError

# Whole numbers up to here are exact in float32.
LARGEST_EXACT = 2**24
COMPRESSION = 1


def as_sent(volume: ArrayLike, name: str) -> np.ndarray:
    """Return the volume in the smallest of uint8, uint16 and float32 that holds its values.

    The result is contiguous and little-endian.

    Args:
        volume: numbers `[*spatial]`; floating-point ones become float32, all others keep their values.
        name: name of the volume in error messages.

    Raises:
        InputError: not 2 or 3 axes, no voxels, no numbers, values that are not finite, or whole numbers that
            float32 cannot hold.

    Example:
        >>> as_sent([[0, 300]], "moving").dtype.name
        'uint16'
    """
    volume = np.asarray(volume)
    if volume.ndim not in (2, 3) or not volume.size:
        raise InputError(
            f"{name}: expected voxels along 2 or 3 axes, without axes for batch or channels; got shape {volume.shape}."
        )
    if volume.dtype.kind not in "buif":
        raise InputError(f"{name}: voxels are of type {volume.dtype}; numbers are needed.")
    kind = _float32(volume, name) if volume.dtype.kind == "f" else _whole(volume, name)
    return np.ascontiguousarray(volume, dtype=np.dtype(kind).newbyteorder("<"))


def _float32(volume: np.ndarray, name: str) -> str:
    if not np.all(np.isfinite(volume)) or max(-volume.min(), volume.max()) > np.finfo("float32").max:
        raise InputError(f"{name}: holds values that are NaN, infinite or too large for float32. Replace them by 0.")
    return "float32"


def _whole(volume: np.ndarray, name: str) -> str:
    if volume.dtype.name in ("uint8", "uint16"):
        return volume.dtype.name
    low, high = int(volume.min()), int(volume.max())
    if low >= 0 and high <= LARGEST:
        return "uint8" if high <= 255 else "uint16"
    if max(-low, high) > LARGEST_EXACT:
        raise InputError(
            f"{name}: whole numbers from {low} to {high}; beyond {LARGEST_EXACT} float32 is not exact. Scale them, or "
            "convert them to float32 if that will do."
        )
    return "float32"


def encode_pair(moving: ArrayLike, fixed: ArrayLike) -> dict[str, Any]:
    """Return the inputs of `register_bytes`: gzipped bytes, shape and type of each volume.

    Raises:
        InputError: volumes of different shapes, or one that `as_sent` refuses.
    """
    volumes = {"moving": as_sent(moving, "moving"), "fixed": as_sent(fixed, "fixed")}
    shapes = [volume.shape for volume in volumes.values()]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"moving and fixed lie on one grid, so their shapes are equal; got {shapes[0]} and {shapes[1]}. Files with "
            "grids of their own go through register_nifti."
        )
    inputs: dict[str, Any] = {}
    for name, volume in volumes.items():
        # Passed as bytes, because gzip takes the size of an array's first axis for its length.
        inputs[name] = gzip.compress(volume.reshape(-1).view("uint8").data, COMPRESSION)
        inputs[f"{name}_shape"] = list(volume.shape)
        inputs[f"{name}_dtype"] = volume.dtype.name
    return inputs


def decode_image(content: Any, value_range: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 `[*spatial]` from a PNG and its range (low, high).

    Raises:
        ServingError: not a 16-bit gray PNG of that shape, or a range that is no pair of numbers.
    """
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError):
        raise ServingError(f"The answer's moved_range is no pair of numbers but {value_range!r}.") from None
    stored = decode_png(content, shape, "moved_bytes").astype("float32")
    stored *= (high - low) / LARGEST
    stored += low
    return stored


def decode_displacement(contents: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 `[*spatial, ndim]` in voxels, from a PNG for each axis; within 1/256 voxel of the server's result.

    Raises:
        ServingError: not one 16-bit gray PNG of that shape for each axis.
    """
    if not isinstance(contents, (list, tuple)) or len(contents) != len(shape):
        count = len(contents) if isinstance(contents, (list, tuple)) else 1
        raise ServingError(f"The answer's displacement has {count} components; {len(shape)} axes need {len(shape)}.")
    displacement = np.empty((*shape, len(shape)), "float32")
    for axis, content in enumerate(contents):
        displacement[..., axis] = decode_png(content, shape, "displacement_bytes")
    displacement -= ZERO
    displacement /= STEPS_PER_VOXEL
    return displacement


def decode_png(content: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return uint16 `[*spatial]` from a 16-bit gray PNG whose rows are the volume's, first axis slowest.

    Raises:
        ServingError: the content is no such PNG.
    """
    # Not Image.open, which refuses large volumes as decompression bombs and reads formats that no server sends.
    from PIL import PngImagePlugin

    if not isinstance(content, bytes):
        raise ServingError(f"The answer's {name} holds no bytes but {str(content)[:40]!r}.")
    expected = (shape[-1], math.prod(shape[:-1]))
    try:
        picture = PngImagePlugin.PngImageFile(io.BytesIO(content))
        if picture.size != expected or not picture.mode.startswith("I"):
            raise ServingError(
                f"The answer's {name} is a PNG of {picture.size} in mode {picture.mode}; shape {shape} needs "
                f"16-bit gray of {expected}."
            )
        return np.asarray(picture).astype("uint16").reshape(shape)
    except (OSError, SyntaxError) as error:
        raise ServingError(f"The answer's {name} is no whole PNG ({error}).") from error
