"""An image and its place in the world."""

import dataclasses

import numpy as np

from vxm_tf.files.volumes import Volume, VolumeError, has_place, read_image, read_labels
from vxm_tf.spatial.grid import Grid, reoriented
from vxm_tf.spatial.headers import grid_of


@dataclasses.dataclass(frozen=True, eq=False)
class SpatialImage:
    """Voxels, where they lie, and the file they came from.

    Attributes:
        array: images float32 `[*grid.shape, channels]`, labels int32 `[*grid.shape]`.
        grid: in world space.
        volume: as it was read; what is written on the same grid takes its header.
    """

    array: np.ndarray
    grid: Grid
    volume: Volume | None = None

    @property
    def name(self) -> str:
        """Its file, for messages."""
        return str(self.volume.path) if self.volume else "(in memory)"

    def reoriented(self, orientation: str = "RAS"):
        """The same voxels in the same places, stored in another order of axes."""
        if self.grid.ndim == 2:
            orientation = "".join(letter for letter in orientation if letter in "RLAP")
        return SpatialImage(*reoriented(self.array, self.grid, orientation))

    def with_array(self, array):
        """Other values in the same places."""
        return dataclasses.replace(self, array=array)


def read_spatial_image(path, *, multichannel: bool = False) -> SpatialImage:
    """An image `[*spatial, channels]` with its place in the world; see `read_image` and `grid_of`.

    Raises:
        VolumeError: an unusable file, or an affine that is singular.
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
        VolumeError: an unusable file, or another grid than the image's.
    """
    volume = read_labels(path)
    if image is None:
        return SpatialImage(volume.array, grid_of(volume), volume)
    name = f"its image {image.name}"
    placed = has_place(volume) and (image.volume is None or has_place(image.volume))
    if volume.array.shape != image.grid.shape:
        raise VolumeError(
            f"{path}: this {what} has shape {volume.array.shape}, {name} has {image.grid.shape}. Resample it "
            "onto the image's grid first, by nearest neighbour."
        )
    if placed and not grid_of(volume).is_same(image.grid):
        raise VolumeError(
            f"{path}: this {what} and {name} have one shape but different affines: their voxels do not lie "
            "at the same places. Resample it onto the image's grid first, by nearest neighbour."
        )
    return SpatialImage(volume.array, image.grid, volume)
