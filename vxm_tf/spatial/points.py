"""Tables of points: CSV and TSV (ANTs' x,y,z,...), plain columns of numbers, and 3D Slicer's .fcsv."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import write_text
from vxm_tf.spatial.formats.itk_kinds import turned

CONVENTIONS = ("RAS", "LPS")
_AXES = ("x", "y", "z")
_SLICER_SYSTEMS = {"0": "RAS", "RAS": "RAS", "1": "LPS", "LPS": "LPS"}


@dataclasses.dataclass(frozen=True, eq=False)
class PointTable:
    """The text of a table of points, so that it can be written again with other coordinates.

    Attributes:
        head: lines before the first point.
        rows: fields of each point.
        columns: index of each coordinate in a row.
        delimiter: character between fields; None for white space.
        convention: "RAS" or "LPS", the axes of the coordinates in the file.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[int, ...]
    delimiter: str | None
    convention: str


def read_points(
    path: str | os.PathLike, convention: str = "RAS", *, ndim: int | None = None
) -> tuple[np.ndarray, PointTable]:
    """The points in a file, in RAS millimetres, and the table that holds them.

    Args:
        path: a table with a heading that names x, y and perhaps z, separated by commas, tabs, semicolons or spaces;
            or two or three numbers per line without a heading; or Slicer's `.fcsv`. Lines that begin with # are kept.
        convention: "RAS" or "LPS", the axes of the coordinates in the file: ANTs and ITK write LPS. The head of an
            `.fcsv` overrides it.
        ndim: 2 to ignore a column z; by default 3 where there is one.

    Returns:
        (points `[n, ndim]`, float64, in RAS millimetres; the table).

    Raises:
        ValueError: unknown convention.
        InputError: no file, no points, or a line that is not a point, with its number.
    """
    _check_convention(convention)
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
    numbered = [(i + 1, _split(line, delimiter)) for i, line in enumerate(lines) if i >= first and line.strip()]
    if not numbered:
        raise InputError(f"{path}: holds a heading but no points.")
    columns = _columns(path, heading, numbered[0][1], ndim)
    points = np.array([_point(path, number, row, columns, heading) for number, row in numbered], "float64")
    table = PointTable(tuple(lines[:first]), tuple(tuple(row) for _, row in numbered), columns, delimiter, convention)
    return (turned(points) if convention == "LPS" else points), table


def write_points(
    path: str | os.PathLike, points_mm: ArrayLike, convention: str = "RAS", like: PointTable | None = None
) -> None:
    """Write points in RAS millimetres, with six decimals.

    Args:
        path: the file to write; without `like`, `.tsv` is written with tabs, `.txt` with spaces and no heading, and
            any other name with commas.
        points_mm: `[n, ndim]`, ndim 2 or 3, in RAS millimetres.
        convention: "RAS" or "LPS", the axes of the coordinates in the file, where `like` is not given.
        like: the table, with as many points, whose head, other columns, order and convention are kept.

    Raises:
        ValueError: unknown convention, or another number of points than `like` has.
        InputError: a path that cannot be written.
    """
    _check_convention(convention)
    points = np.asarray(points_mm, "float64")
    like = like or _new_table(path, points.shape, convention)
    if points.shape != (len(like.rows), len(like.columns)):
        raise ValueError(
            f"expected {len(like.rows)} points with {len(like.columns)} coordinates, as in the table they came from; "
            f"got an array of shape {points.shape}."
        )
    points = turned(points) if like.convention == "LPS" else points
    lines = list(like.head)
    for row, point in zip(like.rows, points):
        fields = list(row)
        for column, value in zip(like.columns, point):
            fields[column] = f"{value:.6f}"
        lines.append((like.delimiter or " ").join(fields))
    write_text(path, "\n".join(lines) + "\n")


def _check_convention(convention: str) -> None:
    if convention not in CONVENTIONS:
        raise ValueError(f"convention is one of {', '.join(map(repr, CONVENTIONS))}; got {convention!r}.")


def _lines(path: str | os.PathLike) -> list[str]:
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file.")
    try:
        return Path(path).read_text(encoding="utf-8-sig").splitlines()
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
    return next((mark for mark in "\t,;" if mark in line.strip()), None)


def _split(line: str, delimiter: str | None) -> list[str]:
    return [field.strip() for field in (line.split(delimiter) if delimiter else line.split())]


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
    names = [name.lower().strip("\"'") for name in heading]
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
    if len(row) < max(columns) + 1 or (heading and len(row) != width):
        raise InputError(f"{path}, line {number}: expected {width} columns; got {len(row)}.")
    try:
        point = [float(row[column]) for column in columns]
    except ValueError as error:
        raise InputError(f"{path}, line {number}: not a number ({error}).") from error
    if not np.all(np.isfinite(point)):
        raise InputError(f"{path}, line {number}: a coordinate is NaN or infinite.")
    return point


def _new_table(path: str | os.PathLike, shape: Sequence[int], convention: str) -> PointTable:
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
