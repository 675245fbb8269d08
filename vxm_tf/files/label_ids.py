"""Label ids as whole numbers, from arrays of any number type."""

import warnings

import numpy as np

from vxm_tf.files.errors import VolumeError

# Largest distance of a stored id from a whole number: what rounding leaves in a scaled or float32 file. The relative
# part is for large ids; the limit keeps intensities from passing as ids.
_ABSOLUTE, _RELATIVE, _LIMIT = 1e-3, 2e-5, 0.05
# Above this, float32 and float64 skip whole numbers.
_EXACT_UP_TO = {"float16": 2**11, "float32": 2**24, "float64": 2**53}


def whole_numbers(array: np.ndarray, what: str) -> np.ndarray:
    """An array of ids as int32, or as int64 where an id does not fit in 32 bits.

    Ids within 0.001 + 0.00002 |id|, at most 0.05, of a whole number are rounded. A `UserWarning` says where a file of
    floating-point numbers holds ids so large that its type skips whole numbers, so that ids may have been merged.

    Args:
        array: numbers of any type.
        what: name of the array at the start of messages, such as "a.nii: this file".

    Raises:
        VolumeError: values that are NaN, infinite, beyond 64 bits, beyond the exact range of a floating-point type and
            32 bits, or not whole numbers within the tolerance.
    """
    if array.dtype.kind in "bui":
        return _narrowed(array, what)
    if not np.all(np.isfinite(array)):
        raise VolumeError(
            f"{what} holds NaN or infinite values, but labels are whole numbers. Replace them, for example by 0."
        )
    rounded = np.rint(array)
    distance = np.abs(array - rounded)
    off = distance > np.minimum(_ABSOLUTE + _RELATIVE * np.abs(rounded), _LIMIT)
    if off.any():
        furthest = np.unravel_index(np.argmax(distance), array.shape)
        raise VolumeError(
            f"{what} holds values that are not whole numbers, as labels are: {np.count_nonzero(off)} of {array.size}, "
            f"such as {array[furthest]:.6g}. Is it an image, or a probability map? If it is a label map that was "
            "interpolated, make it again by nearest neighbour; if it was stored inexactly, round it (numpy.rint)."
        )
    _check_exact(rounded, what)
    return _narrowed(rounded, what)


def _check_exact(rounded: np.ndarray, what: str) -> None:
    """Warn of, or refuse, ids so large that the floating-point type of a file skips whole numbers."""
    name = rounded.dtype.name
    largest, exact = float(np.abs(rounded).max()) if rounded.size else 0.0, _EXACT_UP_TO.get(name, 2**53)
    if largest <= exact:
        return
    skips = f"{what} stores labels up to {largest:.0f} as {name}, which skips whole numbers above {exact}"
    if largest >= 2**32:
        raise VolumeError(f"{skips}. Is it an image? Store ids as integers.")
    warnings.warn(
        f"{skips}: ids may have been changed or merged when it was written. Store ids as integers.", stacklevel=4
    )


def _narrowed(array: np.ndarray, what: str) -> np.ndarray:
    """Whole numbers as int32 or int64."""
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if low < -(2**63) or high >= 2**63:
        raise VolumeError(f"{what} holds {high:g}, but labels are whole numbers of at most 63 bits and a sign.")
    wide = low < -(2**31) or high >= 2**31
    return np.ascontiguousarray(array).astype("int64" if wide else "int32", copy=False)
