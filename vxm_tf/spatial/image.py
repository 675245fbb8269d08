"""Images with their positions in world space."""

import dataclasses
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.files.placement import has_place
from vxm_tf.files.volumes import Volume, read_image, read_labels
from vxm_tf.spatial.grid import Grid, reoriented, same_grid
from vxm_tf.spatial.headers import grid_of

IN_MEMORY = "(in memory)"
"""Name, in messages, of an image that has no file."""


@dataclasses.dataclass(frozen=True, eq=False)
class SpatialImage:
    """Voxels with their grid and the file they were read from.

    Attributes:
        array: images float32 `[*grid.shape, channels]`, labels int32 `[*grid.shape]`.
        grid: grid of the voxels in world space.
        volume: the file's content; files written on the same grid take its header. None for an image in memory.
    """

    array: np.ndarray
    grid: Grid
    volume: Volume | None = None

    @property
    def name(self) -> str:
        """The path of the image's file, for messages; `IN_MEMORY` if it has none."""
        return str(self.volume.path) if self.volume else IN_MEMORY

    @property
    def has_place(self) -> bool:
        """Whether the grid is known rather than assumed: stored in the file, or given with an image in memory."""
        return self.volume is None or has_place(self.volume)

    def reoriented(self, orientation: str = "RAS") -> "SpatialImage":
        """The image with its axes swapped and flipped into an orientation; voxels keep their values and positions."""
        if self.grid.ndim == 2:
            orientation = "".join(letter for letter in orientation if letter in "RLAP")
        array, grid = reoriented(self.array, self.grid, orientation)
        return SpatialImage(array, grid)

    def header(self) -> Volume:
        """A volume with the header for files on this grid: the image's file, or a new header if it has no position."""
        if self.volume is not None and has_place(self.volume):
            return self.volume
        ndim, affine = self.grid.ndim, np.eye(4)
        affine[:ndim, :ndim], affine[:ndim, 3] = self.grid.affine[:-1, :-1], self.grid.affine[:-1, -1]
        placed = nibabel.Nifti1Image(np.zeros((1,) * 3, "uint8"), affine)
        if self.volume is None:
            return Volume(np.empty(0, "float32"), self.grid.spacing_mm, placed, Path(self.name), self.grid.shape)
        return dataclasses.replace(self.volume, source=placed)

    def with_array(self, array: np.ndarray) -> "SpatialImage":
        """This image with other values, `[*grid.shape, ...]`, on the same grid."""
        return dataclasses.replace(self, array=array)


def read_together(*files: tuple[Any, Callable[[Any], Volume | SpatialImage]]) -> list[SpatialImage | None]:
    """Read a pair of images; one without a stored position, such as an NPZ, takes the other's grid if shapes are equal.

    If shapes differ, `grid_of` determines the grid of such an image.

    Args:
        *files: a pair for each of the two images: its source, such as a path, and the function that reads a `Volume` or
            a `SpatialImage` from the source. The image of an empty source is None.

    Raises:
        InputError: an unusable file, or an affine that is singular.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        volumes = [read(path) if path else None for path, read in files]
        images = [None if volume is None else _placed(volume) for volume in volumes]
    for image, other in (images, images[::-1]):
        if image and image.volume and other and not image.has_place and other.has_place:
            if image.grid.shape == other.grid.shape:
                images[images.index(image)] = _laid_on(image.volume, other)
                caught = [w for w in caught if not str(w.message).startswith(f"{image.name}:")]
    for warning in caught:
        logging.warning("%s", warning.message)
    return images


def _placed(volume: Volume | SpatialImage) -> SpatialImage:
    return volume if isinstance(volume, SpatialImage) else SpatialImage(volume.array, grid_of(volume), volume)


def read_beside(path: str | os.PathLike, read: Callable[..., Volume], image: SpatialImage) -> SpatialImage:
    """Read a volume in an image's space; without a stored position, it takes the image's grid if shapes are equal.

    Args:
        path: the volume's file.
        read: function that reads a `Volume` from a path.
        image: the image.

    Raises:
        InputError: an unusable file, or an affine that is singular.
    """
    volume = read(path)
    if not has_place(volume) and volume.spatial_shape == image.grid.shape:
        return _laid_on(volume, image)
    return SpatialImage(volume.array, grid_of(volume), volume)


def _laid_on(volume: Volume, image: SpatialImage) -> SpatialImage:
    logging.warning("%s stores no position in space; it is assumed to have the grid of %s.", volume.path, image.name)
    return SpatialImage(volume.array, image.grid, volume)


def read_spatial_image(path: str | os.PathLike, *, multichannel: bool = False) -> SpatialImage:
    """Read an image `[*spatial, channels]` with its grid in world space; see `read_image` and `grid_of`.

    Raises:
        InputError: an unusable file, or an affine that is singular.
    """
    volume = read_image(path, multichannel=multichannel)
    return SpatialImage(volume.array, grid_of(volume), volume)


def read_spatial_labels(
    path: str | os.PathLike, image: SpatialImage | None = None, what: str = "label map"
) -> SpatialImage:
    """Read a label map, int32 `[*spatial]`, with its grid in world space.

    Args:
        path: the file.
        image: the image whose grid the map must have; a map whose file stores no position takes that grid.
        what: name of the map in messages.

    Raises:
        InputError: an unusable file, or another grid than the image's.
    """
    volume = read_labels(path)
    return _placed(volume) if image is None else on_grid_of(image, volume, what)


def on_grid_of(image: SpatialImage, volume: Volume, what: str) -> SpatialImage:
    """A label map on the grid of the image that it belongs to.

    Args:
        image: the image.
        volume: the label map, int32 `[*spatial]`.
        what: name of the map in messages.

    Raises:
        InputError: another grid than the image's.
    """
    path, name = volume.path, f"its image {image.name}"
    placed = has_place(volume) and image.has_place
    if volume.array.shape != image.grid.shape:
        raise InputError(
            f"{path}: this {what} has shape {volume.array.shape}, {name} has {image.grid.shape}. Resample it "
            "onto the image's grid first, by nearest neighbour."
        )
    if placed and not same_grid(grid_of(volume), image.grid):
        raise InputError(
            f"{path}: this {what} and {name} have one shape but different affines: their voxels do not lie "
            "at the same places. Resample it onto the image's grid first, by nearest neighbour."
        )
    return SpatialImage(volume.array, image.grid, volume)
