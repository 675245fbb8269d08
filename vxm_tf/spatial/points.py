"""Points in files: tables (CSV, TSV, plain columns of numbers, Slicer's .fcsv) and Slicer's .mrk.json."""

import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from vxm_tf.files.atomic import check_output_file
from vxm_tf.files.errors import InputError
from vxm_tf.files.json_file import write_text
from vxm_tf.spatial.point_tables import CONVENTIONS, PointTable, new_table, read_table
from vxm_tf.spatial.slicer_markups import Markups, is_markups, new_markups, read_markups

PointFile: TypeAlias = PointTable | Markups
"""The content of a file of points, so that it can be written again with other coordinates."""


def read_points(
    path: str | os.PathLike, convention: str = "RAS", *, ndim: int | None = None
) -> tuple[np.ndarray, PointFile]:
    """The points in a file, in RAS millimetres, and the table that holds them.

    Args:
        path: a table with a heading that names x, y and perhaps z, separated by commas, tabs, semicolons or spaces
            (fields in quotes may hold them); or two or three numbers per line without a heading; or Slicer's `.fcsv` or
            `.mrk.json`. Lines that begin with # are comments, which are kept.
        convention: "RAS" or "LPS", the axes of the coordinates in the file: ANTs and ITK write LPS. Slicer's files
            state their own, which overrides it.
        ndim: 2 to ignore a column z; by default 3 where there is one.

    Returns:
        (points `[n, ndim]`, float64, in RAS millimetres; the table).

    Raises:
        ValueError: unknown convention.
        InputError: no file, no points, or a line that is not a point, with its number.
    """
    _check_convention(convention)
    if is_markups(path):
        return read_markups(path, ndim)
    return read_table(path, convention, ndim)


def write_points(
    path: str | os.PathLike, points_mm: ArrayLike, convention: str = "RAS", like: PointFile | None = None
) -> None:
    """Write points in RAS millimetres, with six decimals.

    Args:
        path: the file to write; without `like`, `.mrk.json` is written for Slicer, `.tsv` with tabs, `.txt` with spaces
            and no heading, and any other name with commas.
        points_mm: `[n, ndim]`, ndim 2 or 3, in RAS millimetres.
        convention: "RAS" or "LPS", the axes of the coordinates in the file, where `like` is not given.
        like: the table, with as many points, whose head, other columns, order and convention are kept.

    Raises:
        ValueError: unknown convention, or another number of points than `like` has.
        InputError: a path that cannot be written, or whose name is of another kind than `like`.
    """
    _check_convention(convention)
    points = np.asarray(points_mm, "float64")
    if like is None:
        like = new_markups(points, convention) if is_markups(path) else new_table(path, points.shape, convention)
    elif isinstance(like, Markups) != is_markups(path):
        raise InputError(_other_kind(path, isinstance(like, Markups)))
    if points.shape != like.shape:
        raise ValueError(
            f"expected {like.shape[0]} points with {like.shape[1]} coordinates, as in the table they came from; "
            f"got an array of shape {points.shape}."
        )
    write_text(path, like.text(points))


def check_points_output(path: str | os.PathLike, source: str | os.PathLike) -> None:
    """Raise `InputError` before long work, rather than after it, if moved points cannot be written.

    Args:
        path: the file to write; its folder is created if it is missing.
        source: the file that the points come from.
    """
    check_output_file(path)
    if is_markups(source) != is_markups(path):
        raise InputError(_other_kind(path, is_markups(source)))


def points_suffix(path: str | os.PathLike) -> str:
    """The end of a points file's name, where `.mrk.json` is one ending."""
    name = str(path)
    return name[-len(".mrk.json") :] if name.lower().endswith(".mrk.json") else Path(path).suffix


def _other_kind(path: str | os.PathLike, markups: bool) -> str:
    kind = "Slicer's markups: give a name that ends in .mrk.json" if markups else "a table: give a name such as x.csv"
    return f"{path}: moved points are written in the kind of file that they come from, {kind}."


def _check_convention(convention: str) -> None:
    if convention not in CONVENTIONS:
        raise ValueError(f"convention is one of {', '.join(map(repr, CONVENTIONS))}; got {convention!r}.")
