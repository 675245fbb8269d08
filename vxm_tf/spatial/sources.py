"""Images and label maps in every form that users pass: paths, nibabel images, and images in memory."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import nibabel
import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.files.label_ids import whole_numbers
from vxm_tf.files.volumes import Volume, check_varies, image_in_memory, labels_in_memory, read_image
from vxm_tf.spatial.grid import same_grid
from vxm_tf.spatial.image import IN_MEMORY, SpatialImage, on_grid_of, read_spatial_labels, read_together

Source: TypeAlias = str | os.PathLike | nibabel.spatialimages.SpatialImage | SpatialImage
"""An image as a user passes it: a path, a nibabel image, or a `SpatialImage`."""
LabelSource: TypeAlias = Source | np.ndarray
"""A label map as a user passes it: any `Source`, or an array of integers `[*spatial]` on the grid of its image."""


def source_name(source: LabelSource, role: str) -> str:
    """The path of a source, or a name such as "moving (in memory)" for one without a file.

    Args:
        source: the image or label map.
        role: name of a source that has no name of its own, such as "moving".
    """
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, SpatialImage):
        if source.volume is None:
            return f"{role} {IN_MEMORY}"
        # Other values than those that were read are not the file's.
        return source.name if source.array is source.volume.array else f"{source.volume.path.name} {IN_MEMORY}"
    if not isinstance(source, nibabel.spatialimages.SpatialImage):
        return f"{role} {IN_MEMORY}"
    path = source.get_filename()
    # An image whose voxels are no longer a proxy may differ from its file.
    if path and nibabel.is_proxy(source.dataobj):
        return str(path)
    return f"{Path(path).name if path else role} {IN_MEMORY}"


def open_pair(moving: Source, fixed: Source, *, multichannel: bool = False) -> list[SpatialImage]:
    """Read [moving image, fixed image] with their grids in world space; see `read_together`.

    Args:
        moving: the moving image.
        fixed: the fixed image.
        multichannel: whether the last axis of both images holds channels.

    Raises:
        InputError: an unusable image or file, or anything other than an image.
    """

    def reader(source: Source, role: str) -> Callable[[Any], Volume | SpatialImage]:
        if isinstance(source, str | os.PathLike):
            if not os.fspath(source):
                raise InputError(f"The path of the {role} image is empty; give the path of a file.")
            return lambda path: read_image(path, multichannel=multichannel)
        if isinstance(source, nibabel.spatialimages.SpatialImage):
            return lambda image: image_in_memory(image, source_name(image, role), multichannel=multichannel)
        if isinstance(source, SpatialImage):
            return lambda image: _checked(image, role)
        raise InputError(
            f"The {role} image is a path, a nibabel image or a SpatialImage; got {type(source).__name__}. An array "
            "knows no voxel size: give SpatialImage(array, Grid(shape, affine))."
        )

    images = read_together((moving, reader(moving, "moving")), (fixed, reader(fixed, "fixed")))
    return [image for image in images if image is not None]


def labels_on(image: SpatialImage, labels: LabelSource, what: str = "segmentation") -> np.ndarray:
    """A label map on an image's grid, integers `[*spatial]`.

    Args:
        image: the image whose grid the map must have.
        labels: path, nibabel image, `SpatialImage`, or integers or booleans `[*spatial]`.
        what: name of the map in messages.

    Raises:
        InputError: an unusable file, another grid than the image's, or values that are not whole numbers.
    """
    if isinstance(labels, str | os.PathLike):
        return read_spatial_labels(labels, image, what).array
    if isinstance(labels, SpatialImage):
        if not same_grid(labels.grid, image.grid):
            raise InputError(f"The {what} lies on another grid than {image.name}. Resample it there first.")
        return _whole_numbers(labels, what)
    if isinstance(labels, nibabel.spatialimages.SpatialImage):
        return on_grid_of(image, labels_in_memory(labels, source_name(labels, what)), what).array
    array = np.asarray(labels)
    if array.shape != image.grid.shape or array.dtype.kind not in "iub":
        raise InputError(
            f"A {what} is integers of shape {image.grid.shape}, those of {image.name}; got an array of "
            f"{array.dtype} of shape {array.shape}."
        )
    return array


def _whole_numbers(labels: SpatialImage, what: str) -> np.ndarray:
    """The array of a label map in memory, `[*spatial]`, int32 or int64 where it was read as an image."""
    array, shape = np.asarray(labels.array), labels.grid.shape
    array = array[..., 0] if array.shape == (*shape, 1) else array
    if array.shape != shape or array.dtype.kind not in "iubf":
        raise InputError(f"A {what} is whole numbers of shape {shape}, its grid's; got {array.dtype} of {array.shape}.")
    if array.dtype.kind != "f":
        return array
    return whole_numbers(array, f"{source_name(labels, what)}: this {what}")


def _checked(image: SpatialImage, role: str) -> SpatialImage:
    """An image in memory as float32 with an axis of channels, after the checks that apply to an image in a file."""
    name = source_name(image, role)
    array = np.asarray(image.array)
    if array.dtype.kind not in "buif":
        raise InputError(f"{name}: voxels are of type {array.dtype}; numbers are needed (no colour or complex data).")
    # A copy, so that what the caller does with the array afterwards does not reach the result.
    array = array.astype("float32")
    array = array if array.ndim > image.grid.ndim else array[..., None]
    if array.shape[:-1] != image.grid.shape or image.grid.ndim not in (2, 3):
        raise InputError(
            f"{name}: an image in memory is [*spatial, channels] with the 2 or 3 axes of its grid; got an array of "
            f"shape {array.shape} on a grid of shape {image.grid.shape}."
        )
    if 1 in image.grid.shape:
        raise InputError(
            f"{name}: is one voxel thick along an axis; its shape is {image.grid.shape}. A slice is registered as a "
            "2-D image, on a grid with two axes."
        )
    if not np.isfinite(array).all():
        raise InputError(f"{name}: holds NaN or infinite voxels. Replace them, for example by 0.")
    check_varies(name, array)
    return image.with_array(array)
