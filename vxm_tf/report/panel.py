"""A picture of one registration: moving, fixed, moved, the warped grid, and the difference before and after."""

import numpy as np
from skimage.color import gray2rgb
from skimage.io import imsave
from skimage.transform import resize as resize_image

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.report.planes import slice_across

GRID_STEP = 8
GAP = 4


def registration_panel(moving, fixed, moved, displacement, zoom: int = 2):
    """The middle slice of each axis, one row an axis: moving, fixed, moved, warped grid, |before|, |after|.

    Args:
        moving, fixed, moved: `[*spatial, channels]` in [0, 1], on one grid; the first channel is shown.
        displacement: `[*spatial, ndim]`, in voxels.
        zoom: screen pixels a voxel.

    Returns:
        uint8 `[height, width, 3]`; a 2-D image gives one row.
    """
    images = [np.clip(image[..., 0], 0.0, 1.0) for image in (moving, fixed, moved)]
    before, after = np.abs(images[0] - images[1]), np.abs(images[2] - images[1])
    axes = [None] if images[0].ndim == 2 else range(3)
    rows = []
    for axis in axes:
        views = [slice_across(image, axis) for image in images]
        grid = grid_view(displacement, axis)
        views += [grid, slice_across(before, axis), slice_across(after, axis)]
        rows.append(_beside([_screen(view, zoom) for view in views], axis=1))
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    return _beside(rows, axis=0)


def grid_view(displacement, axis):
    """White lines every `GRID_STEP` voxels of the moving image, as the displacement draws them.

    Args:
        displacement: `[*spatial, ndim]`, in voxels.
        axis: across which the middle slice is taken; None for a 2-D image.

    Returns:
        Float `[rows, columns]` in [0, 1].
    """
    ndim = displacement.shape[-1]
    locations = displacement + np.stack(np.meshgrid(*map(np.arange, displacement.shape[:-1]), indexing="ij"), axis=-1)
    in_plane = [k for k in range(ndim) if k != axis]
    lines = np.zeros(slice_across(displacement[..., 0], axis).shape)
    for k in in_plane:
        phase = slice_across(locations[..., k], axis) / GRID_STEP
        distance = np.abs(phase - np.round(phase)) * GRID_STEP
        lines = np.maximum(lines, np.clip(1.0 - distance, 0.0, 1.0))
    return lines


def _screen(view, zoom):
    size = tuple(length * zoom for length in view.shape)
    return gray2rgb((255 * resize_image(view, size, order=1, anti_aliasing=False)).astype("uint8"))


def _beside(pictures, axis):
    gap_shape = list(pictures[0].shape)
    gap_shape[axis] = GAP
    gap = np.full(gap_shape, 255, "uint8")
    parts = [part for picture in pictures for part in (picture, gap)][:-1]
    return np.concatenate(parts, axis=axis)


def write_picture(path, picture):
    """Write a picture `[height, width, 3]`, uint8, as PNG."""
    replace_atomically(path, lambda temporary: imsave(temporary, picture, check_contrast=False))
