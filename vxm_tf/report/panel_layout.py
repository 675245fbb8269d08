"""Positions and sizes of the parts of a registration's picture, in pixels."""

import dataclasses
import math

from vxm_tf.report.planes import Plane

COLUMNS = ("moving", "fixed", "moved", "warped grid", "difference before", "difference after")
# A narrower column could not hold its name in letters that can be read.
NARROWEST = 104
TALLEST = 1600
MARGIN, GAP = 10, 8
SMALLEST_FONT, LARGEST_FONT = 11, 22
# Parts of a column's width and of the font size that the names of columns and planes need.
LETTER_WIDTHS_A_COLUMN = 9
NAME_LENGTH = 6.5
NAME_HEIGHT = 1.6


@dataclasses.dataclass(frozen=True)
class PanelLayout:
    """Positions and sizes on a sheet with one row for each plane and one column for each of `COLUMNS`.

    Attributes:
        cell: width of every column.
        pictures: (width, height) of the pictures in each row, all at one scale.
        font_size: height of the letters.
    """

    cell: int
    pictures: tuple[tuple[int, int], ...]
    font_size: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        width = self.column_left(len(COLUMNS)) - GAP + MARGIN
        return width, self.bars_top + round(3.2 * self.font_size) + MARGIN

    @property
    def left(self) -> int:
        """Left edge of the first column; the names of the planes stand before it."""
        return MARGIN + round(NAME_HEIGHT * self.font_size)

    @property
    def top(self) -> int:
        """Upper edge of the first row; the names of the columns stand above it."""
        return MARGIN + round(NAME_HEIGHT * self.font_size)

    @property
    def bars_top(self) -> int:
        """Upper edge of the colour bars, which stand below the last row."""
        return self.row_top(len(self.pictures))

    def row_height(self, row: int) -> int:
        """Height of a row: that of its pictures, or of the plane's name if that is longer."""
        return max(self.pictures[row][1], round(NAME_LENGTH * self.font_size))

    def row_top(self, row: int) -> int:
        """Upper edge of a row."""
        return self.top + sum(self.row_height(above) + GAP for above in range(row))

    def column_left(self, column: int) -> int:
        """Left edge of a column."""
        return self.left + column * (self.cell + GAP)

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of one picture, which lies in the middle of its cell."""
        width, height = self.pictures[row]
        left = self.column_left(column) + (self.cell - width) // 2
        top = self.row_top(row) + (self.row_height(row) - height) // 2
        return left, top, left + width, top + height


def panel_layout(
    shape: tuple[int, ...], spacing: tuple[float, ...], planes: tuple[Plane, ...], zoom: float, widest: int
) -> PanelLayout:
    """The layout for images of one shape.

    Pictures have `zoom` pixels for each voxel along its shortest side; they have more if their columns would be
    narrower than `NARROWEST`, and fewer if the sheet would be wider than `widest` or its rows higher than `TALLEST`.

    Args:
        shape: number of voxels along each axis.
        spacing: voxel size along each axis, in any unit.
        planes: one plane for each row.
        zoom: pixels for each voxel.
        widest: largest width of the sheet, in pixels.
    """
    extent = [size * length / min(spacing) for size, length in zip(shape, spacing, strict=True)]
    across, up = [extent[plane.across] for plane in planes], [extent[plane.up] for plane in planes]
    around = 2 * MARGIN + (len(COLUMNS) - 1) * GAP + round(NAME_HEIGHT * LARGEST_FONT)
    room = max(NARROWEST, (widest - around) // len(COLUMNS))
    cell = min(room, max(NARROWEST, math.ceil(zoom * max(across))))
    scale = min(cell / max(across), TALLEST / sum(up))
    pictures = tuple((max(1, round(scale * a)), max(1, round(scale * u))) for a, u in zip(across, up, strict=True))
    return PanelLayout(cell, pictures, min(LARGEST_FONT, max(SMALLEST_FONT, cell // LETTER_WIDTHS_A_COLUMN)))
