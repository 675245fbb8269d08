"""An image and its place in the world."""

import dataclasses
import warnings
from pathlib import Path

import nibabel
import numpy as np
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.files.placement import has_place
from vxm_tf.files.volumes import Volume, read_image, read_labels
from vxm_tf.spatial.grid import Grid, reoriented
from vxm_tf.spatial.headers import grid_of

IN_MEMORY = "(in memory)"
"""Stands where messages name the file of an image that has none."""


@dataclasses.dataclass(frozen=True, eq=False)
class SpatialImage:
    """Voxels, where they lie, and the file they came from.

    Attributes:
        array: images float32 `[*grid.shape, channels]`, labels int32 `[*grid.shape]`.
        grid: in world space.
        volume: the file's content as it was read; what is written on the same grid takes its header.
    """

    array: np.ndarray
    grid: Grid
    volume: Volume | None = None

    @property
    def name(self) -> str:
        """The image's file, for messages."""
        return str(self.volume.path) if self.volume else IN_MEMORY

    @property
    def has_place(self) -> bool:
        """Whether the grid is known, not assumed: a file that says where its voxels lie, or a grid given in memory."""
        return self.volume is None or has_place(self.volume)

    def reoriented(self, orientation: str = "RAS"):
        """The same voxels in the same places, stored in another order of axes."""
        if self.grid.ndim == 2:
            orientation = "".join(letter for letter in orientation if letter in "RLAP")
        return SpatialImage(*reoriented(self.array, self.grid, orientation))

    def header(self) -> Volume:
        """What a file written on this grid takes its header from: the image's own file, where that knows its place."""
        if self.volume is not None and has_place(self.volume):
            return self.volume
        ndim, affine = self.grid.ndim, np.eye(4)
        affine[:ndim, :ndim], affine[:ndim, 3] = self.grid.affine[:-1, :-1], self.grid.affine[:-1, -1]
        placed = nibabel.Nifti1Image(np.zeros((1,) * 3, "uint8"), affine)
        if self.volume is None:
            return Volume(np.empty(0, "float32"), self.grid.spacing_mm, placed, Path(self.name), self.grid.shape)
        return dataclasses.replace(self.volume, source=placed)

    def with_array(self, array):
        """Other values in the same places."""
        return dataclasses.replace(self, array=array)


def read_together(*files) -> list:
    """Images of one pair, None for an empty path; one that knows no place, such as an NPZ, takes the other's grid.

    That needs equal shapes; else its place is that of `grid_of`.

    Args:
        files: two pairs of a path and the function that reads its `Volume`, or gives a `SpatialImage` as it is.

    Raises:
        InputError: an unusable file, or an affine that is singular.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        volumes = [read(path) if path else None for path, read in files]
        images = [volume and _placed(volume) for volume in volumes]
    for image, other in (images, images[::-1]):
        if image and other and not image.has_place and other.has_place:
            if image.grid.shape == other.grid.shape:
                images[images.index(image)] = _laid_on(image.volume, other)
                caught = [w for w in caught if not str(w.message).startswith(f"{image.name}:")]
    for warning in caught:
        logging.warning("%s", warning.message)
    return images


def _placed(volume: Volume | SpatialImage) -> SpatialImage:
    return volume if isinstance(volume, SpatialImage) else SpatialImage(volume.array, grid_of(volume), volume)


def read_beside(path, read, image: SpatialImage) -> SpatialImage:
    """What lies in an image's space; where its file knows no place and the shapes are equal, on the image's grid.

    Args:
        path: of the file.
        read: from a path to a `Volume`.
        image: already placed.

    Raises:
        InputError: an unusable file, or an affine that is singular.
    """
    volume = read(path)
    if not has_place(volume) and volume.spatial_shape == image.grid.shape:
        return _laid_on(volume, image)
    return SpatialImage(volume.array, grid_of(volume), volume)


def _laid_on(volume, image):
    logging.warning("%s knows no place in space; taken to lie on the grid of %s.", volume.path, image.name)
    return SpatialImage(volume.array, image.grid, volume)


def read_spatial_image(path, *, multichannel: bool = False) -> SpatialImage:
    """An image `[*spatial, channels]` with its place in the world; see `read_image` and `grid_of`.

    Raises:
        InputError: an unusable file, or an affine that is singular.
    """
    volume = read_image(path, multichannel=multichannel)
    return SpatialImage(volume.array, grid_of(volume), volume)


def read_spatial_labels(path, image: SpatialImage | None = None, what: str = "label map") -> SpatialImage:
    """A label map `[*spatial]` with its place in the world.

    Args:
        path: of the file.
        image: the image that it must share its voxels with; it gives the place where the map's file has none.
        what: the map is, for messages.

    Raises:
        InputError: an unusable file, or another grid than the image's.
    """
    volume = read_labels(path)
    return _placed(volume) if image is None else on_grid_of(image, volume, what)


def on_grid_of(image: SpatialImage, volume: Volume, what: str) -> SpatialImage:
    """A label map that was read, on the grid of the image whose voxels it must share.

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
    if placed and not grid_of(volume).is_same(image.grid):
        raise InputError(
            f"{path}: this {what} and {name} have one shape but different affines: their voxels do not lie "
            "at the same places. Resample it onto the image's grid first, by nearest neighbour."
        )
    return SpatialImage(volume.array, image.grid, volume)
