"""HTML: text made safe, tables, and templates that come with the package."""

import html
import math
import string
from pathlib import Path

FOLDER = Path(__file__).parent


def text(value) -> str:
    """A value as text within HTML, in an attribute too; what is no character becomes a question mark."""
    whole = str(value).encode("utf-8", "replace").decode("utf-8")
    return html.escape("".join(c if c.isprintable() or c in "\n\t" else "?" for c in whole), quote=True)


def number(value, digits: int = 3) -> str:
    """A number for people; a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def table(rows, heading=None) -> str:
    """Rows of cells, the first of each its name; cells are text, or `Raw`.

    Args:
        rows: sequences of equal length.
        heading: cells above them.
    """
    head = "".join(f'<th scope="col">{cell(c)}</th>' for c in heading or ())
    lines = [f"<thead><tr>{head}</tr></thead>"] if heading else []
    for name, *cells in rows:
        data = "".join(f"<td>{cell(c)}</td>" for c in cells)
        lines.append(f'<tr><th scope="row">{cell(name)}</th>{data}</tr>')
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def facts(rows) -> str:
    """Numbers to see at once: (what, value, what that is) each."""
    return "".join(f"<div><dt>{text(a)}</dt><dd>{text(b)}<small>{text(c)}</small></dd></div>" for a, b, c in rows)


class Raw(str):
    """Markup that is safe already."""


def cell(value) -> str:
    """A value as markup."""
    return value if isinstance(value, Raw) else text(value)


def filled(name: str, **parts) -> str:
    """A template of the folder `page` with its `$parts` filled in; they are markup already.

    Raises:
        KeyError: a part that was not given.
    """
    return string.Template(asset(name)).substitute(parts)


def asset(name: str) -> str:
    """A file of the folder `page`."""
    return (FOLDER / "page" / name).read_text(encoding="utf-8")
