"""HTML: escaped text, tables, and the templates in the folder `page`."""

import html
import math
import string
from collections.abc import Iterable, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent


def text(value: object) -> str:
    """A value as text for HTML elements and attributes; a sign that cannot be printed becomes a question mark."""
    whole = str(value).encode("utf-8", "replace").decode("utf-8")
    return html.escape("".join(c if c.isprintable() or c in "\n\t" else "?" for c in whole), quote=True)


def number(value: float | str | None, digits: int = 3) -> str:
    """A number with a few significant digits; a dash for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def table(rows: Iterable[Sequence[object]], heading: Sequence[object] | None = None) -> str:
    """An HTML table.

    Args:
        rows: the cells of each row, text or `Raw`; the first cell is the name of the row.
        heading: the cells of the first line; None for a table without one.
    """
    head = "".join(f'<th scope="col">{cell(c)}</th>' for c in heading or ())
    lines = [f"<thead><tr>{head}</tr></thead>"] if heading else []
    for name, *cells in rows:
        data = "".join(f"<td>{cell(c)}</td>" for c in cells)
        lines.append(f'<tr><th scope="row">{cell(name)}</th>{data}</tr>')
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def facts(rows: Iterable[tuple[str, str, str]]) -> str:
    """The most important numbers in large print: (name, value, explanation) for each."""
    return "".join(f"<div><dt>{text(a)}</dt><dd>{text(b)}<small>{text(c)}</small></dd></div>" for a, b, c in rows)


class Raw(str):
    """Text that is HTML already and must not be escaped."""


def cell(value: object) -> str:
    """A value as HTML: `Raw` is left as it is, anything else is escaped."""
    return value if isinstance(value, Raw) else text(value)


def filled(name: str, **parts: str) -> str:
    """A template of the folder `page`, with each `$part` replaced by HTML.

    Raises:
        KeyError: the template has a part that was not given.
    """
    return string.Template(asset(name)).substitute(parts)


def asset(name: str) -> str:
    """The text of a file in the folder `page`."""
    return (FOLDER / "page" / name).read_text(encoding="utf-8")
