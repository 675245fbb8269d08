"""Lists of scans and of pairs in text files, as people, spreadsheets and scripts write them."""

import csv
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from vxm_tf.data.scan_names import Scan, told_apart
from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import EXTENSIONS, extension, stem
from vxm_tf.files.volumes import own_labels

# Meaning of a column -> its headings.
Columns: TypeAlias = Mapping[str, Sequence[str]]
SCAN_COLUMNS: Columns = {
    "image": ("image", "scan", "volume", "path", "file"),
    "labels": ("labels", "label", "segmentation", "seg"),
}
PAIR_COLUMNS: Columns = {
    "moving": ("moving", "moving_image"),
    "fixed": ("fixed", "fixed_image"),
    "moving_labels": ("moving_labels", "moving_label", "moving_segmentation", "moving_seg"),
    "fixed_labels": ("fixed_labels", "fixed_label", "fixed_segmentation", "fixed_seg"),
}
_END = "(?:" + "|".join(re.escape(e) for e in EXTENSIONS) + ")"
# A separator stands after a path and its quotes, so that an unquoted path may hold the other separators.
_SEPARATOR = re.compile(_END + r'"?\s*([,;\t])', re.IGNORECASE)
# Without separators: paths in quotes, paths up to their extension, other words.
_PATHS = re.compile(r'"([^"]*)"|(\S.*?' + _END + r")(?=\s|$)|(\S+)", re.IGNORECASE)
_ENDS = re.compile(_END + r'"?\s*$', re.IGNORECASE)


def read_list(path: str | os.PathLike) -> list[Scan]:
    """Scans from a text file: on each line an image and optionally its segmentation; see `read_table`.

    Scans whose files have one name are named with the folders that tell them apart.

    Raises:
        InputError: no such file, no line in it, a line with more than two paths, or an image that is listed twice.
    """
    scans: list[Scan] = []
    lines: dict[Path, int] = {}
    for number, fields in read_table(path, SCAN_COLUMNS):
        image, labels = (*fields, None)[:2]
        if len(fields) > 2 or image is None:
            raise InputError(
                f"{path}, line {number}: expected an image and at most a segmentation; got {len(fields)} entries."
            )
        first = lines.setdefault(image.absolute(), number)
        if first != number:
            raise InputError(f"{path}, line {number}: names the image of line {first} again, {image}. Remove one line.")
        scans.append(Scan(stem(image), image, labels or own_labels(image)))
    if not scans:
        raise InputError(f"{path}: the list names no image.")
    return told_apart(scans)


def read_pairs(path: str | os.PathLike) -> tuple[list[Scan], list[tuple[int, int]]]:
    """Scans and pairs (moving, fixed) of their indices from a text file; see `read_table`.

    On each line stand a moving and a fixed image, then optionally their segmentations.

    Raises:
        InputError: no such file, no line in it, a line with another number of paths, or two segmentations of one image.
    """
    scans: dict[Path, Scan] = {}
    indices: dict[Path, int] = {}
    pairs: list[tuple[int, int]] = []
    for number, fields in read_table(path, PAIR_COLUMNS):
        images = [image for image in fields[:2] if image]
        if len(images) != 2 or len(fields) not in (2, 3, 4) or (len(fields) == 3 and fields[2]):
            raise InputError(
                f"{path}, line {number}: expected moving and fixed image, or these and both segmentations; got "
                f"{len(fields)} entries."
            )
        for image, labels in zip(images, (*fields[2:], None, None)):
            key = image.absolute()
            known = scans.setdefault(key, Scan(stem(image), image, labels))
            if labels and known.labels and known.labels != labels:
                raise InputError(
                    f"{path}, line {number}: {image} has the segmentation {labels} here, and {known.labels} before. "
                    "One image has one segmentation."
                )
            scans[key] = dataclasses.replace(known, labels=known.labels or labels)
            indices.setdefault(key, len(indices))
        moving, fixed = (indices[image.absolute()] for image in images)
        pairs.append((moving, fixed))
    if not pairs:
        raise InputError(f"{path}: the list names no pair.")
    complete = [dataclasses.replace(scan, labels=scan.labels or own_labels(scan.image)) for scan in scans.values()]
    return told_apart(complete), pairs


def read_table(path: str | os.PathLike, columns: Columns | None = None) -> Iterator[tuple[int, list[Path | None]]]:
    """Yield (line number, paths) for each line of a list; relative paths start at the list's own folder.

    Paths stand between commas, semicolons, tabs or spaces; a path that holds one of these may stand in quotes. The file
    is in UTF-8, with or without a byte order mark. A first line of headings puts the columns in any order, and other
    columns beside them. Empty lines are skipped, and comments: a `#` at the start of a line, or after a path and a
    space.

    Args:
        path: the list.
        columns: the headings of each column, in the order in which its paths are yielded; None for no headings.

    Yields:
        The paths of a line, None for an empty one that others follow.

    Raises:
        InputError: the file is missing or is not text, or its headings lack the first column.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of files ({error}).") from error
    order: list[int] | None = None
    separator, first = "", True
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        fields = _fields(_without_comment(line, path.parent), separator)
        if not any(fields):
            continue
        if first and columns and (order := _order(fields, columns)):
            first, separator = False, next((s for s in "\t;," if s in line), "")
            continue
        first = False
        if order:
            fields = [fields[place] if 0 <= place < len(fields) else "" for place in order]
        while fields and not fields[-1]:
            fields.pop()
        if fields:
            yield number, [path.parent / Path(field).expanduser() if field else None for field in fields]


def _order(fields: Sequence[str], columns: Columns) -> list[int] | None:
    """Place of each column in a line of headings, -1 for one that is not there; None for a line of paths."""
    headings = [field.lower().replace(" ", "_") for field in fields]
    places = [next((headings.index(n) for n in names if n in headings), -1) for names in columns.values()]
    is_heading = places[0] >= 0 and not any(extension(field) for field in fields)
    return places if is_heading else None


def _fields(line: str, separator: str = "") -> list[str]:
    """The entries of a line, without quotes."""
    if not line.strip():
        return []
    stated = _SEPARATOR.search(line)
    separator = separator or (stated[1] if stated else "")
    if not separator and not re.search(_END, line, re.IGNORECASE):
        separator = next((s for s in "\t;," if s in line), "")
    if separator:
        return [field.strip() for field in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    return [next(filter(None, match.groups()), "") for match in _PATHS.finditer(line)]


def _without_comment(line: str, folder: Path) -> str:
    """A line up to its comment; a path may hold a # too."""
    for match in re.finditer(r"(?:^|(?<=\s))#", line):
        before, rest = line[: match.start()], line[match.end() :]
        if before.count('"') % 2:
            continue
        spaced = not rest or rest[0].isspace()
        path_follows = bool(re.search(_END, rest, re.IGNORECASE))
        after_path = bool(_ENDS.search(before))
        if not path_follows or (spaced and (after_path or not before.strip())):
            return before
        if (after_path or not before.strip()) and not (folder / (_fields(line[match.start() :]) or [""])[0]).exists():
            return before
    return line
