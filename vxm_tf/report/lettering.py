"""Words and colour bars on a picture."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vxm_tf.report.colours import INK, LETTERS, PANE, SHEET

# Heights and distances within a colour bar, as parts of the font size.
BAR, TICKS_BELOW, LEGEND_BELOW, SMALL = 0.6, 0.85, 1.9, 0.85


def write(sheet: Image.Image, place: tuple[float, float], words: str, font_size: int, anchor: str = "mm") -> None:
    """Write words on a sheet.

    Args:
        sheet: RGB picture, which is changed.
        place: (x, y) in pixels.
        words: ASCII text; the font that comes with Pillow has few other signs.
        font_size: height of the letters, in pixels.
        anchor: the point of the text that lies at `place`, as Pillow names it.
    """
    ImageDraw.Draw(sheet).text(place, words, INK, ImageFont.load_default(font_size), anchor)


def write_over(sheet: Image.Image, place: tuple[float, float], words: str, font_size: int, anchor: str) -> None:
    """Write words on a picture, with an outline so that they can be read on bright and on dark tissue."""
    font = ImageFont.load_default(font_size)
    ImageDraw.Draw(sheet).text(place, words, LETTERS, font, anchor, stroke_width=2, stroke_fill=PANE)


def write_upwards(sheet: Image.Image, place: tuple[int, int], words: str, font_size: int) -> None:
    """Write words that run from bottom to top, with their middle at `place`."""
    length = ImageFont.load_default(font_size).getlength(words)
    strip = Image.new("RGB", (round(length) + 2, round(1.4 * font_size)), SHEET)
    write(strip, (strip.width / 2, strip.height / 2), words, font_size)
    turned = strip.transpose(Image.Transpose.ROTATE_90)
    sheet.paste(turned, (place[0] - turned.width // 2, place[1] - turned.height // 2))


def colour_bar(
    sheet: Image.Image,
    edge: tuple[int, int, int],
    colours: np.ndarray,
    ticks: tuple[str, str, str],
    legend: str,
    font_size: int,
) -> None:
    """Draw a colour bar with three numbers and its legend below it.

    Args:
        sheet: RGB picture, which is changed.
        edge: (left, top, right) of the bar, in pixels.
        colours: uint8 `[n, 3]`, from left to right.
        ticks: the values that the left end, the middle and the right end stand for.
        legend: the quantity that the colours show.
        font_size: height of the letters in the names of columns; those of the bar are a little smaller.
    """
    left, top, right = edge
    bar = Image.fromarray(colours[None]).resize((right - left, round(BAR * font_size)), Image.Resampling.NEAREST)
    sheet.paste(bar, (left, top))
    small = round(SMALL * font_size)
    for tick, x in zip(ticks, (left, (left + right) / 2, right), strict=True):
        write(sheet, (x, top + TICKS_BELOW * font_size), tick, small, "ma")
    write(sheet, ((left + right) / 2, top + LEGEND_BELOW * font_size), legend, small, "ma")
