"""A scan, and the names that tell scans apart."""

import collections
import dataclasses
from collections.abc import Iterable
from pathlib import Path

from vxm_tf.files.extensions import stem


@dataclasses.dataclass(frozen=True)
class Scan:
    """One person's image and, if there is one, segmentation.

    Attributes:
        name: the scan's name in messages and results.
        image: the image's file.
        labels: the segmentation's file, which is `image` for an NPZ that holds both, or None.
    """

    name: str
    image: Path
    labels: Path | None


def told_apart(scans: Iterable[Scan]) -> list[Scan]:
    """The scans, those of one name with as many of their folders in the name as tell them apart: "sub-01/ct".

    Scans that are the same file keep one name.
    """
    scans = list(scans)
    files = {scan.image.absolute() for scan in scans}
    names: dict[Path, str] = {scan.image.absolute(): scan.name for scan in scans}
    depth, most = 2, max((len(file.parts) for file in files), default=0)
    while depth <= most and (equal := _equally_named(names)):
        for file in equal:
            names[file] = "/".join((*file.parts[-depth:-1], stem(file)))
        depth += 1
    for file in _equally_named(names):
        # Two files of one folder that differ in their extension.
        names[file] = "/".join((*Path(names[file]).parts[:-1], file.name))
    return [dataclasses.replace(scan, name=names[scan.image.absolute()]) for scan in scans]


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first few names, with commas between, and the number of the others: "a, b and 3 more"."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _equally_named(names: dict[Path, str]) -> list[Path]:
    counts = collections.Counter(names.values())
    return [file for file, name in names.items() if counts[name] > 1]
