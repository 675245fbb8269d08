"""Tables of points: CSV and TSV (ANTs' x,y,z,...), plain columns of numbers, and 3D Slicer's .fcsv."""

import csv
import dataclasses
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vxm_tf.files.diagnosis import absence
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.formats.itk_kinds import turned

CONVENTIONS = ("RAS", "LPS")
_AXES = ("x", "y", "z")
_SLICER_SYSTEMS = {"0": "RAS", "RAS": "RAS", "1": "LPS", "LPS": "LPS"}


@dataclasses.dataclass(frozen=True, eq=False)
class PointTable:
    """The text of a table of points, so that it can be written again with other coordinates.

    Attributes:
        head: lines before the first point.
        body: the fields of each point, and comment lines as they are, in their order.
        columns: index of each coordinate in the fields of a point.
        delimiter: character between fields; None for white space.
        convention: "RAS" or "LPS", the axes of the coordinates in the file.
    """

    head: tuple[str, ...]
    body: tuple[tuple[str, ...] | str, ...]
    columns: tuple[int, ...]
    delimiter: str | None
    convention: str

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of points and of coordinates."""
        return sum(not isinstance(line, str) for line in self.body), len(self.columns)

    def text(self, points_mm: np.ndarray) -> str:
        """The table with other points `[n, ndim]`, in RAS millimetres."""
        points = iter(turned(points_mm) if self.convention == "LPS" else points_mm)
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.delimiter or " ", lineterminator="\n")
        text.writelines(f"{line}\n" for line in self.head)
        for line in self.body:
            if isinstance(line, str):
                text.write(f"{line}\n")
                continue
            fields = list(line)
            for column, value in zip(self.columns, next(points)):
                fields[column] = f"{value:.6f}"
            writer.writerow(fields)
        return text.getvalue()


def read_table(path: str | os.PathLike, convention: str, ndim: int | None) -> tuple[np.ndarray, PointTable]:
    """The points in a table, in RAS millimetres, and the table; see `vxm_tf.spatial.points.read_points`."""
    lines = _lines(path)
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if first is None:
        raise InputError(f"{path}: holds no points.")
    slicer = str(path).lower().endswith(".fcsv")
    heading = _slicer_heading(path, lines[:first]) if slicer else None
    convention = _slicer_convention(path, lines[:first]) if slicer else convention
    delimiter = "," if slicer else _delimiter(lines[first])
    if heading is None and not _is_numeric(_split(lines[first], delimiter)):
        heading, first = _split(lines[first], delimiter), first + 1
    body = _body(path, lines[first:], first + 1, delimiter)
    numbered = [(number, line) for number, line in body if not isinstance(line, str)]
    if not numbered:
        raise InputError(f"{path}: holds a heading but no points.")
    if heading and all(len(row) == len(heading) + 1 and lines[n - 1].startswith('"') for n, row in numbered):
        # R's write.table names rows, in quotes, but not their column.
        heading = ["", *heading]
    columns = _columns(path, heading, numbered[0][1], ndim)
    points = np.array([_point(path, number, row, columns, heading) for number, row in numbered], "float64")
    table = PointTable(tuple(lines[:first]), tuple(line for _, line in body), columns, delimiter, convention)
    return (turned(points) if convention == "LPS" else points), table


def _lines(path: str | os.PathLike) -> list[str]:
    if not Path(path).is_file():
        raise InputError(f"{path}: {absence(path)}")
    try:
        content = Path(path).read_bytes()
        # Spreadsheets save "Unicode text" in UTF-16.
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return content.decode(encoding).splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}).") from error


def _slicer_heading(path: str | os.PathLike, head: Sequence[str]) -> list[str]:
    for line in head:
        key, _, value = line.lstrip("# ").partition("=")
        if key.strip() == "columns":
            return _split(value, ",")
    raise InputError(f"{path}: a Slicer table has a line '# columns = id,x,y,z,...'; this one has none.")


def _slicer_convention(path: str | os.PathLike, head: Sequence[str]) -> str:
    for line in head:
        key, _, value = line.lstrip("# ").partition("=")
        if key.strip() == "CoordinateSystem":
            if value.strip() not in _SLICER_SYSTEMS:
                raise InputError(f"{path}: its coordinate system is {value.strip()!r}; expected RAS or LPS.")
            return _SLICER_SYSTEMS[value.strip()]
    raise InputError(f"{path}: a Slicer table has a line '# CoordinateSystem = LPS' or RAS; this one has none.")


def _delimiter(line: str) -> str | None:
    bare = re.sub(r'"[^"]*"', "", line).strip()
    return next((mark for mark in "\t,;" if mark in bare), None)


def _split(line: str, delimiter: str | None) -> list[str]:
    return next(_rows([line], delimiter))


def _rows(lines: Iterable[str], delimiter: str | None) -> Iterator[list[str]]:
    """The fields of each record; a field in quotes may hold delimiters and ends of lines."""
    # Slicer and spreadsheets leave tabs at the ends of lines, where they are empty fields; spaces are nothing.
    lines = (line if delimiter else line.replace("\t", " ").strip() + "\n" for line in lines)
    for row in csv.reader(lines, delimiter=delimiter or " ", skipinitialspace=True):
        yield [field.strip() for field in row]


def _body(
    path: str | os.PathLike, lines: Sequence[str], number: int, delimiter: str | None
) -> list[tuple[int, tuple[str, ...] | str]]:
    """(number of its first line, fields of a point or a comment) for each record.

    Args:
        path: the file, for messages.
        lines: lines after the heading.
        number: number of the first of them.
        delimiter: character between fields; None for white space.
    """
    body: list[tuple[int, tuple[str, ...] | str]] = []
    started = [number]

    def records() -> Iterator[str]:
        for i, line in enumerate(lines, number):
            if line.startswith("#"):
                body.append((i, line))
            elif line.strip():
                started.append(i)
                yield line + "\n"

    try:
        for row in _rows(records(), delimiter):
            # Spreadsheets write rows of empty fields below a table.
            if any(row):
                body.append((started[1], tuple(row)))
            del started[1:]
    except csv.Error as error:
        raise InputError(f"{path}, line {started[-1]}: cannot be read as a table ({error}).") from error
    return body


def _is_numeric(fields: Sequence[str]) -> bool:
    try:
        return bool([float(field) for field in fields])
    except ValueError:
        return False


def _columns(
    path: str | os.PathLike, heading: Sequence[str] | None, row: Sequence[str], ndim: int | None
) -> tuple[int, ...]:
    if heading is None:
        if len(row) not in (2, 3) or (ndim or 2) > len(row):
            raise InputError(
                f"{path}: a table without a heading has {ndim or '2 or 3'} numbers a line; got {len(row)}. Add a first "
                "line with the names of the columns, such as x,y,z,label."
            )
        return tuple(range(ndim or len(row)))
    names = [name.lower().strip("'") for name in heading]
    axes = _AXES[: ndim or (3 if "z" in names else 2)]
    missing = [axis for axis in axes if axis not in names]
    if missing:
        raise InputError(f"{path}: has no column {' or '.join(missing)}; its columns are {', '.join(heading)}.")
    return tuple(names.index(axis) for axis in axes)


def _point(
    path: str | os.PathLike,
    number: int,
    row: Sequence[str],
    columns: Sequence[int],
    heading: Sequence[str] | None,
) -> list[float]:
    width = len(heading) if heading else max(columns) + 1
    quotes = " Put a field that holds a separator in quotes." if len(row) > width else ""
    if len(row) < max(columns) + 1 or (heading and len(row) != width):
        raise InputError(f"{path}, line {number}: expected {width} columns; got {len(row)}.{quotes}")
    try:
        point = [float(row[column]) for column in columns]
    except ValueError as error:
        raise InputError(f"{path}, line {number}: not a number ({error}).") from error
    if not np.all(np.isfinite(point)):
        raise InputError(f"{path}, line {number}: a coordinate is NaN or infinite.")
    return point


def new_table(path: str | os.PathLike, shape: Sequence[int], convention: str) -> PointTable:
    """A table for points of a shape `[n, ndim]`, of the kind that a path's extension names."""
    if len(shape) != 2 or shape[1] not in (2, 3):
        raise ValueError(f"points are an array [n, 2] or [n, 3]; got shape {tuple(shape)}.")
    delimiter = {".tsv": "\t", ".txt": None}.get(Path(path).suffix.lower(), ",")
    axes = _AXES[: shape[1]]
    if str(path).lower().endswith(".fcsv"):
        columns = ",".join(("id", *axes))
        slicer_head = (f"# CoordinateSystem = {convention}", f"# columns = {columns}")
        rows = tuple((str(i), *axes) for i in range(shape[0]))
        return PointTable(slicer_head, rows, tuple(range(1, shape[1] + 1)), ",", convention)
    head = (delimiter.join(axes),) if delimiter else ()
    return PointTable(head, (axes,) * shape[0], tuple(range(shape[1])), delimiter, convention)
