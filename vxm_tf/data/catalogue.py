"""The scans in a folder or a list, each with the segmentation that belongs to it."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import EXTENSIONS, names_volume, stem
from vxm_tf.files.volumes import own_labels

LABELS_SUFFIXES = ("_seg", "_dseg", "_aseg", "_labels", "_label")
IMAGE_FOLDERS = ("images", "imagestr")
LABELS_FOLDERS = ("labels", "labelstr", "segmentations")

# The folder and name that an image and its segmentation share.
_Key: TypeAlias = tuple[str, str]


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


def find_scans(directory: str | os.PathLike, *, image_suffix: str = "", labels_suffix: str = "") -> list[Scan]:
    """All scans below a folder, in order of their names.

    A file is a segmentation if its name ends in a labels suffix or it lies in a folder named `labels`
    (or `labelsTr`, `segmentations`); it belongs to the image of the same name, without suffixes, in the
    same folder or in the `images` folder beside. An NPZ holds both.

    Args:
        directory: searched with all its subfolders.
        image_suffix: ending of the names, without extension, of the images to take, such as "_norm"; empty for all.
        labels_suffix: ending of the segmentations' names, without extension; by default any of `LABELS_SUFFIXES`.

    Raises:
        InputError: a missing folder, a folder without images, a segmentation without an image or with several, or two
            files for one scan.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: there is no such folder.")
    files = sorted(f for f in directory.rglob("*") if f.is_file() and names_volume(f) and not f.name.startswith("."))
    suffixes = (labels_suffix,) if labels_suffix else LABELS_SUFFIXES
    images: dict[_Key, Path] = {}
    segmentations: dict[_Key, Path] = {}
    for file in files:
        if _is_labels(file, directory, suffixes):
            _add(segmentations, _key(file, directory, suffixes), file)
        elif stem(file).endswith(image_suffix):
            _add(images, _key(file, directory, (image_suffix,)), file)
    if not images:
        raise InputError(
            f"{directory}: no image found. Expected files named ...{image_suffix} with one of the extensions "
            f"{', '.join(EXTENSIONS)}."
        )
    belongs = _match(images, segmentations, directory)
    scans = []
    for key, file in images.items():
        name = "/".join(part for part in key if part) or stem(file)
        scans.append(Scan(name, file, belongs.get(key) or own_labels(file)))
    return scans


def _add(files: dict[_Key, Path], key: _Key, file: Path) -> None:
    if key in files:
        raise InputError(
            f"{file}: stands for the same scan as {files[key]}. Remove one of them, or say how names end with "
            "--image_suffix and --labels_suffix."
        )
    files[key] = file


def _is_labels(file: Path, directory: Path, suffixes: tuple[str, ...]) -> bool:
    folders = [part.lower() for part in file.relative_to(directory).parts[:-1]]
    return any(folder in LABELS_FOLDERS for folder in folders) or any(stem(file).endswith(s) for s in suffixes)


def _key(file: Path, directory: Path, suffixes: tuple[str, ...]) -> _Key:
    """(folder, name) without the folders and suffixes that distinguish images from segmentations."""
    folders = [p for p in file.relative_to(directory).parts[:-1] if p.lower() not in (*IMAGE_FOLDERS, *LABELS_FOLDERS)]
    name = stem(file)
    suffix = next((s for s in suffixes if s and name.endswith(s)), "")
    return "/".join(folders), name[: len(name) - len(suffix)]


def _match(images: dict[_Key, Path], segmentations: dict[_Key, Path], directory: Path) -> dict[_Key, Path]:
    """The segmentation of each image that has one."""
    belongs: dict[_Key, Path] = {}
    for (folder, name), file in segmentations.items():
        exact = [key for key in images if key == (folder, name)]
        matches = exact or [key for key in images if key[0] == folder and key[1].startswith(name + "_")]
        if len(matches) != 1:
            what = "there is no image" if not matches else f"several images ({', '.join(k[1] for k in matches)})"
            raise InputError(
                f"{file}: for this segmentation {what} in {directory}. Remove it, add its image, or say how names "
                "end with --image_suffix and --labels_suffix."
            )
        _add(belongs, matches[0], file)
    return belongs


def read_list(path: str | os.PathLike) -> list[Scan]:
    """Scans from a text file: on each line an image and, after a space, tab or comma, its segmentation.

    Relative paths start at the list's own folder; empty lines and text after `#` are skipped.

    Raises:
        InputError: no such file, no line in it, or a line with more than two paths.
    """
    scans = []
    for number, fields in read_table(path):
        if len(fields) > 2:
            raise InputError(f"{path}, line {number}: expected an image and at most a segmentation; got {fields}.")
        image, *labels = fields
        scans.append(Scan(stem(image), image, labels[0] if labels else own_labels(image)))
    if not scans:
        raise InputError(f"{path}: the list names no image.")
    return scans


def read_table(path: str | os.PathLike) -> Iterator[tuple[int, list[Path]]]:
    """Yield (line number, paths) for each line of a list, with paths resolved against the list's folder.

    Raises:
        InputError: the file is missing or is not text.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of files ({error}).") from error
    for number, line in enumerate(lines, 1):
        fields = line.split("#")[0].replace(",", " ").split()
        if fields:
            yield number, [path.parent / field for field in fields]


def split_scans(
    data_dir: str | os.PathLike,
    *,
    validation_fraction: float = 0.2,
    seed: int = 0,
    image_suffix: str = "",
    labels_suffix: str = "",
) -> tuple[list[Scan], list[Scan]]:
    """Return (training scans, validation scans) of a folder.

    These are the scans of its `train` and `val` subfolders where both exist; else a fraction of the scans, drawn at
    random, is kept for validation.

    Args:
        data_dir: folder that holds the scans.
        validation_fraction: fraction of the scans to keep for validation, in [0, 1).
        seed: seed of the random choice.
        image_suffix: see `find_scans`.
        labels_suffix: see `find_scans`.

    Raises:
        InputError: see `find_scans`; a fraction that is not in [0, 1).
    """
    if not 0 <= validation_fraction < 1:
        raise InputError(f"The validation fraction lies in [0, 1); got {validation_fraction}.")
    data_dir, settings = Path(data_dir), {"image_suffix": image_suffix, "labels_suffix": labels_suffix}
    train_dir, val_dir = data_dir / "train", data_dir / "val"
    scans = find_scans(train_dir if train_dir.is_dir() else data_dir, **settings)
    if train_dir.is_dir() and val_dir.is_dir():
        return scans, find_scans(val_dir, **settings)
    count = round(validation_fraction * len(scans))
    order = np.random.default_rng(seed).permutation(len(scans))
    chosen = set(order[:count].tolist())
    return (
        [s for i, s in enumerate(scans) if i not in chosen],
        [s for i, s in enumerate(scans) if i in chosen],
    )
