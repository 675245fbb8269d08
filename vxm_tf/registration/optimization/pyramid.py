"""The input of an optimisation: its checks, and copies of it on coarser grids."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from keras import ops as K
from scipy import ndimage

from vxm_tf import ops
from vxm_tf.ops.alignment import CELL

MIN_VOXELS = 4
# A coarser grid holds few shapes worth aligning, and hardly more voxels than the similarity's window.
MIN_COARSE_VOXELS = 16
# Networks pad images to a multiple of 2^levels voxels; half as many cells then lie beyond the image.
MAX_CELLS_BEYOND = 16

Level: TypeAlias = dict[str, np.ndarray]
"""Input of the steps on one grid: `moving`, `fixed` and `start`, each `[1, *spatial, channels]`."""


def check_images(
    moving: np.ndarray, fixed: np.ndarray, channels: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Both images in float32, if they can be registered.

    Args:
        moving, fixed: arrays `[*spatial, channels]`.
        channels: numbers of channels that a network takes of the moving and of the fixed image; None if both images
            must have equally many.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.
    """
    images = [np.asarray(image, "float32") for image in (moving, fixed)]
    for name, image in zip(("moving", "fixed"), images):
        if image.ndim not in (3, 4) or min(image.shape[:-1]) < MIN_VOXELS:
            raise ValueError(
                f"The {name} image is [*spatial, channels] with two or three axes of at least {MIN_VOXELS} voxels; got "
                f"shape {image.shape}. Leave the batch axis away and add one for channels."
            )
        if not np.isfinite(image).all():
            raise ValueError(f"The {name} image holds values that are NaN or infinite; replace them first.")
    counts = [image.shape[-1] for image in images]
    if images[0].shape[:-1] != images[1].shape[:-1] or counts != list(channels or counts[:1] * 2):
        wanted = f"{' and '.join(map(str, channels))} channels" if channels else "equal channels"
        raise ValueError(
            f"Moving and fixed image share one grid and have {wanted}; got shapes {images[0].shape} and "
            f"{images[1].shape}. Resample one onto the other first."
        )
    return images[0], images[1]


def check_velocity(velocity: np.ndarray | None, image_shape: Sequence[int]) -> np.ndarray:
    """A velocity in float32, if it fits images of that spatial shape; zeros for None.

    Raises:
        ValueError: a grid that cannot belong to the images, or values that are not finite.
    """
    least = tuple(-(-size // CELL) for size in image_shape)
    if velocity is None:
        return np.zeros((*least, len(least)), "float32")
    velocity = np.asarray(velocity, "float32")
    grid = velocity.shape[:-1]
    fits = len(grid) == len(least) == velocity.shape[-1]
    if not fits or not all(low <= size <= low + MAX_CELLS_BEYOND for low, size in zip(least, grid)):
        raise ValueError(
            f"A velocity for images of {image_shape} voxels has shape {(*least, len(least))}: one cell for {CELL} "
            f"voxels of each axis, and up to {MAX_CELLS_BEYOND} more beyond the image's end; got shape "
            f"{velocity.shape}. Bring it onto that grid with vxm_tf.ops.resize."
        )
    if not np.isfinite(velocity).all():
        raise ValueError("The velocity holds values that are NaN or infinite.")
    return velocity


def smoothed(velocity: np.ndarray, cells: float) -> np.ndarray:
    """A velocity `[*grid, ndim]`, smoothed by a Gaussian of this standard deviation; unchanged for 0."""
    return ndimage.gaussian_filter(velocity, (*[cells] * (velocity.ndim - 1), 0), mode="nearest") if cells else velocity


def pyramid(finest: dict[str, np.ndarray], levels: int) -> list[Level]:
    """Images and starting velocity on grids of growing resolution, the coarsest first.

    Args:
        finest: `moving`, `fixed` and `start` on the finest grid, without a batch axis.
        levels: largest number of grids, each with half the voxels of the next along every axis.
    """
    grids = [{name: array[None] for name, array in finest.items()}]
    while len(grids) < levels and min(grids[0]["fixed"].shape[1:-1]) >= 2 * MIN_COARSE_VOXELS:
        coarse = {name: _halved(array) for name, array in grids[0].items()}
        # A coarse cell is twice as long.
        coarse["start"] *= 0.5
        grids.insert(0, coarse)
    return grids


def finer(change: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A change of velocity `[1, *grid, ndim]`, resized to the next finer grid, which has this shape."""
    fine = K.convert_to_numpy(ops.resize(change, [2 * size for size in change.shape[1:-1]]))
    return fine[tuple(slice(0, size) for size in shape)]


def _halved(array: np.ndarray) -> np.ndarray:
    """Means over blocks of two voxels along each axis; the last voxel of an odd axis is repeated."""
    for axis in range(1, array.ndim - 1):
        if array.shape[axis] % 2:
            array = np.concatenate([array, np.take(array, [-1], axis)], axis)
        even, odd = (np.take(array, range(side, array.shape[axis], 2), axis) for side in (0, 1))
        array = 0.5 * (even + odd)
    return array.astype("float32")
