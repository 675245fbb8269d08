"""The grid of the moving image, deformed by a displacement and coloured by local volume."""

import numpy as np
from PIL import Image
from skimage.transform import resize

from vxm_tf.metrics import jacobian_determinant, simplex_determinants
from vxm_tf.report.colours import FOLDED, GRID_LINES, PANE, jacobian_codes
from vxm_tf.report.planes import Plane, slice_of

# Voxels of the moving image from one line to the next.
GRID_STEP = 8
# Lines closer than this, in pixels, would hide the colours between them; every second one is then left out.
CLOSEST = 10


def grid_lines(
    displacement: np.ndarray,
    plane: Plane,
    size: tuple[int, int] | None = None,
    step: int = GRID_STEP,
    width: float = 1.0,
) -> np.ndarray:
    """Lines at every `step` voxels of the moving image, as the displacement bends them, on the middle slice.

    Args:
        displacement: `[*spatial, ndim]`, in voxels.
        plane: the plane of the slice.
        size: rows and columns of the returned picture; None for those of the slice.
        step: distance between lines, in voxels of the moving image.
        width: width of a line, in pixels of the returned picture.

    Returns:
        Float `[rows, columns]`, 1 on a line and 0 between lines.
    """
    shape = displacement.shape[:-1]
    indices = np.indices(shape, sparse=True)
    lines = np.zeros(())
    for axis in (plane.across, plane.up):
        location = slice_of(displacement[..., axis], plane) + slice_of(np.broadcast_to(indices[axis], shape), plane)
        location = resized(np.nan_to_num(location, posinf=0.0, neginf=0.0), size or location.shape)
        distance = np.abs(location - step * np.round(location / step))
        # A location that stays the same over a whole pixel has no line to measure the distance to.
        per_pixel = np.maximum(np.hypot(*np.gradient(location)), 0.05)
        lines = np.maximum(lines, np.clip(0.5 * (width + 1.0) - distance / per_pixel, 0.0, 1.0))
    return lines


def grid_picture(displacement: np.ndarray, plane: Plane, size: tuple[int, int]) -> np.ndarray:
    """The lines of `grid_lines` in the colours of the local volume, with every folded voxel filled in pink.

    Args:
        displacement: `[*spatial, ndim]`, in voxels.
        plane: the plane of the middle slice to draw.
        size: rows and columns of the returned picture.

    Returns:
        uint8 `[rows, columns, 3]`.
    """
    codes = local_volume_codes(displacement, plane)
    step = GRID_STEP
    while step * size[0] < CLOSEST * codes.shape[0]:
        step *= 2
    lines = grid_lines(displacement, plane, size, step, width=1.5)[..., None]
    nearest = Image.fromarray(codes).resize(size[::-1], Image.Resampling.NEAREST)
    folded = Image.fromarray(255 * (codes == 0).astype("uint8")).resize(size[::-1], Image.Resampling.BOX)
    picture = np.round(lines * GRID_LINES[np.asarray(nearest)] + (1.0 - lines) * np.array(PANE)).astype("uint8")
    return np.where(np.asarray(folded)[..., None] > 0, np.array(FOLDED, "uint8"), picture)


def local_volume_codes(displacement: np.ndarray, plane: Plane) -> np.ndarray:
    """The local volume on the middle slice, as `jacobian_codes` gives it, uint8 `[rows, columns]`.

    A voxel counts as folded, code 0, if one of the simplices around it is turned inside out, or if its displacement
    is not a finite number.
    """
    middle = None
    if plane.axis is not None:
        # The derivatives on a slice depend on its two neighbours only.
        start = max(displacement.shape[plane.axis] // 2 - 1, 0)
        middle = displacement.shape[plane.axis] // 2 - start
        displacement = displacement[(slice(None),) * plane.axis + (slice(start, start + 3),)]
    folded = ~np.isfinite(displacement).all(axis=-1)
    displacement = np.where(folded[..., None], 0.0, displacement)
    for _, part, determinant in simplex_determinants(displacement):
        folded[part] |= determinant <= 0.0
    return slice_of(jacobian_codes(jacobian_determinant(displacement), folded), plane, middle)


def resized(view: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A slice resampled to another size in pixels, linearly, and smoothed first where it becomes smaller."""
    smaller = size[0] < view.shape[0] or size[1] < view.shape[1]
    return resize(view.astype("float32"), size, order=1, mode="edge", anti_aliasing=smaller, preserve_range=True)
