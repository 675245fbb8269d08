"""Masks in every form that users pass: binary masks, label maps and probability maps."""

import dataclasses
import os
from pathlib import Path

import nibabel
import numpy as np
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import extension
from vxm_tf.files.volumes import Volume, read_series
from vxm_tf.spatial.grid import same_grid
from vxm_tf.spatial.image import SpatialImage, on_grid_of
from vxm_tf.spatial.sources import LabelSource, labels_on, source_name

MASK_FORM = "A mask holds whole numbers, 0 outside, or probabilities from 0 to 1"


def mask_on(image: SpatialImage, mask: LabelSource) -> np.ndarray:
    """A mask on an image's grid, bool `[*spatial]`.

    Of whole numbers, such as a label map's, every value but 0 is inside; of probabilities, those above 0.5 are, which
    is logged.

    Args:
        image: the image whose grid the mask must have.
        mask: path, nibabel image, `SpatialImage`, or numbers or booleans `[*spatial]`.

    Raises:
        InputError: an unusable file, another grid than the image's, other values, or a mask that is empty.
    """
    name = source_name(mask, "mask")
    values = _values_on(image, mask, name)
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name}: {MASK_FORM}; got values of type {values.dtype}.")
    if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
        raise InputError(f"{name}: {MASK_FORM}; got {np.count_nonzero(~np.isfinite(values))} that are not finite.")
    inside = values != 0
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        inside = _likely(values, name)
    if not inside.any():
        raise InputError(f"{name}: the mask of {image.name} is empty. {MASK_FORM}, above 0.5 inside.")
    if inside.all():
        logging.warning("%s: this mask covers all of %s, so it hides nothing.", name, image.name)
    return inside


def _likely(values: np.ndarray, name: str) -> np.ndarray:
    """Where probabilities are above 0.5."""
    low, high = float(values.min()), float(values.max())
    # Scaled integers and interpolated masks miss 0 and 1 by rounding errors.
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(f"{name}: {MASK_FORM}; got values from {low:g} to {high:g}. Is it an image?")
    inside = values > 0.5
    logging.info("%s holds probabilities: the mask is where they are above 0.5, %d voxels.", name, inside.sum())
    return inside


def _values_on(image: SpatialImage, mask: LabelSource, name: str) -> np.ndarray:
    """The values of a mask in any form, `[*spatial]` on the image's grid."""
    if isinstance(mask, str | os.PathLike):
        # The array of an NPZ that is a mask has the key of label maps.
        if extension(mask) == ".npz":
            return labels_on(image, mask, "mask")
        return _volume_on(image, read_series(mask), name)
    if isinstance(mask, nibabel.spatialimages.SpatialImage):
        return _volume_on(image, _in_memory(mask, name), name)
    if isinstance(mask, SpatialImage) and not same_grid(mask.grid, image.grid):
        raise InputError(f"The mask lies on another grid than {image.name}. Resample it there first.")
    values = np.asarray(mask.array if isinstance(mask, SpatialImage) else mask)
    values = values[..., 0] if values.shape == (*image.grid.shape, 1) else values
    if values.shape != image.grid.shape:
        raise InputError(
            f"{MASK_FORM}, of shape {image.grid.shape}, that of {image.name}; got an array of {values.dtype} of shape "
            f"{values.shape}."
        )
    return values


def _volume_on(image: SpatialImage, volume: Volume, name: str) -> np.ndarray:
    if volume.array.shape[-1] != 1:
        raise InputError(
            f"{name}: a mask is one volume, but this file holds {volume.array.shape[-1]}. Take one of them."
        )
    return on_grid_of(image, dataclasses.replace(volume, array=volume.array[..., 0]), "mask").array


def _in_memory(mask: nibabel.spatialimages.SpatialImage, name: str) -> Volume:
    try:
        values = np.asanyarray(mask.dataobj)
    except Exception as error:
        raise InputError(f"{name}: its voxels cannot be read ({type(error).__name__}: {error}).") from error
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    values = values[..., None] if values.ndim <= 3 else values
    return Volume(values, None, mask, Path(name), values.shape[:-1])
