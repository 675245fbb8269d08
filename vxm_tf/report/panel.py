"""A picture of one registration: moving, fixed, moved, the warped grid, and the difference before and after."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image
from skimage.io import imsave

from vxm_tf.files.atomic import replace_atomically
from vxm_tf.report.colours import DIFFERENCE, GRID_LINES, SHEET, jacobian_codes, linear_codes
from vxm_tf.report.lettering import colour_bar, write, write_over, write_upwards
from vxm_tf.report.panel_layout import COLUMNS, MARGIN, PanelLayout, panel_layout
from vxm_tf.report.planes import Plane, planes_of, slice_of, turned_to_ras
from vxm_tf.report.warped_grid import grid_picture, resized

WIDEST = 2000
# Share of all differences that the colours tell apart; the largest few would make the others pale.
SHOWN_PERCENT = 99.5
# Pictures smaller than this many letters have no room for those of their directions.
LETTERED = 4


def registration_panel(
    moving: np.ndarray,
    fixed: np.ndarray,
    moved: np.ndarray,
    displacement: np.ndarray,
    zoom: float = 2,
    *,
    orientation: str = "",
    spacing: Sequence[float] | None = None,
    widest: int = WIDEST,
) -> np.ndarray:
    """Draw the middle slice of each plane in one row: moving, fixed, moved, warped grid, difference before and after.

    The lines of the warped grid are those of the moving image and have the colour of the local volume. Differences
    are moving minus fixed and moved minus fixed, blue where negative and red where positive, on one scale.

    Args:
        moving, fixed, moved: `[*spatial, channels]` in [0, 1], on one grid; the first channel is shown.
        displacement: `[*spatial, ndim]`, in voxels.
        zoom: pixels for each voxel; `panel_layout` states when there are more or fewer.
        orientation: the directions in which the axes of a 3-D image point, such as "RAS"; empty if unknown. Slices
            of a 2-D image are shown as they are stored.
        spacing: voxel size along each axis, in any unit; None for equal sizes.
        widest: largest width of the picture, in pixels.

    Returns:
        uint8 `[height, width, 3]`; a 2-D image has one row.

    Raises:
        InputError: an orientation that does not name each direction once.
    """
    ndim = displacement.shape[-1]
    images = [image[..., 0] for image in (moving, fixed, moved)]
    spacing = (1.0,) * ndim if spacing is None else tuple(spacing)
    if orientation and ndim == 3:
        images, displacement, spacing = turned_to_ras(images, displacement, spacing, orientation)
    planes = planes_of(ndim, placed=bool(orientation))
    layout = panel_layout(images[0].shape, spacing, planes, zoom, widest)
    slices = [[np.nan_to_num(np.clip(slice_of(image, plane), 0.0, 1.0)) for image in images] for plane in planes]
    limit = difference_limit(slices)
    sheet = Image.new("RGB", layout.size, SHEET)
    for row, (plane, views) in enumerate(zip(planes, slices, strict=True)):
        for column, picture in enumerate(_pictures(views, displacement, plane, layout.pictures[row][::-1], limit)):
            sheet.paste(Image.fromarray(picture), layout.box(row, column)[:2])
        _name_plane(sheet, layout, row, plane)
    _name_columns(sheet, layout)
    _draw_bars(sheet, layout, limit)
    return np.array(sheet)


def difference_limit(slices: Sequence[Sequence[np.ndarray]]) -> float:
    """The difference that the ends of the colour scale stand for, a multiple of 0.1 from 0.1 to 1.

    Args:
        slices: (moving, fixed, moved) for each plane, in [0, 1].
    """
    differences = [np.abs(image - fixed).ravel() for moving, fixed, moved in slices for image in (moving, moved)]
    most = np.percentile(np.concatenate(differences), SHOWN_PERCENT)
    # Rounding first, so that 0.4 in float32 does not become 0.5.
    return float(np.clip(np.ceil(np.round(10.0 * most, 3)) / 10.0, 0.1, 1.0))


def _pictures(
    views: Sequence[np.ndarray], displacement: np.ndarray, plane: Plane, size: tuple[int, int], limit: float
) -> list[np.ndarray]:
    moving, fixed, moved = (resized(view, size) for view in views)
    grey = [np.repeat(linear_codes(view, 0.0, 1.0)[..., None], 3, axis=-1) for view in (moving, fixed, moved)]
    differences = [DIFFERENCE[linear_codes(view - fixed, -limit, limit)] for view in (moving, moved)]
    return [*grey, grid_picture(displacement, plane, size), *differences]


def _name_columns(sheet: Image.Image, layout: PanelLayout) -> None:
    for column, name in enumerate(COLUMNS):
        write(sheet, (layout.column_left(column) + layout.cell / 2, (MARGIN + layout.top) / 2), name, layout.font_size)


def _name_plane(sheet: Image.Image, layout: PanelLayout, row: int, plane: Plane) -> None:
    """The plane's name before its row, and on the first picture the letters of its directions."""
    left, top, right, bottom = layout.box(row, 0)
    x, y = (left + right) // 2, (top + bottom) // 2
    write_upwards(sheet, ((MARGIN + layout.left) // 2, y), plane.name, layout.font_size)
    if min(right - left, bottom - top) < LETTERED * layout.font_size:
        return
    inset = MARGIN // 2
    edges = ((left + inset, y, "lm"), (right - inset, y, "rm"), (x, top + inset, "mt"), (x, bottom - inset, "mb"))
    for letter, (x, y, anchor) in zip(plane.letters, edges, strict=False):
        write_over(sheet, (x, y), letter, round(0.9 * layout.font_size), anchor)


def _draw_bars(sheet: Image.Image, layout: PanelLayout, limit: float) -> None:
    """The meaning of the colours, each bar below the column that it belongs to."""
    volume = GRID_LINES[jacobian_codes(np.logspace(-1.0, 1.0, 256, base=2.0), False)]
    ends = (f"-{limit:.1f}", "0", f"+{limit:.1f}")
    bars = {
        "warped grid": (volume, ("1/2", "1", "2"), "x volume; pink: fold"),
        "difference before": (DIFFERENCE, ends, "moving - fixed"),
        "difference after": (DIFFERENCE, ends, "moved - fixed"),
    }
    inset = layout.font_size
    for name, bar in bars.items():
        left = layout.column_left(COLUMNS.index(name))
        colour_bar(sheet, (left + inset, layout.bars_top, left + layout.cell - inset), *bar, layout.font_size)


def write_picture(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write a picture `[height, width, 3]`, uint8, as PNG."""
    replace_atomically(path, lambda temporary: imsave(temporary, picture, check_contrast=False))
