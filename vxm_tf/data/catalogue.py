"""The scans in a folder, each with the segmentation that belongs to it."""

import collections
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from absl import logging

from vxm_tf.data.bids_names import without_description
from vxm_tf.data.file_kinds import IMAGE, SEGMENTATION, FileKinds
from vxm_tf.data.modalities import check_modalities
from vxm_tf.data.scan_files import check_links, folder_content
from vxm_tf.data.scan_names import Scan
from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import EXTENSIONS, stem
from vxm_tf.files.volumes import own_labels

# The folder and name that an image and its segmentation share.
_Key: TypeAlias = tuple[str, str]


def find_scans(directory: str | os.PathLike, *, image_suffix: str = "", labels_suffix: str = "") -> list[Scan]:
    """All scans below a folder, in order of their names; links to folders are followed.

    A file is a segmentation if its name ends in `_seg`, `_dseg`, `_aseg`, `_labels` or the like, or if it lies in a
    folder named `labels`, `labelsTr` or `segmentations`. It belongs to the image of the same name, without suffixes,
    in the same folder or in the `images` folder beside. An NPZ holds both. Masks, probability maps, transforms, test
    images of a challenge and all but one image of a FreeSurfer folder are left out. One line of the log counts what
    was found and what was left out.

    Args:
        directory: searched with all its subfolders, except hidden ones.
        image_suffix: ending of the names, without extension, of the images to take, such as "_norm"; empty for all.
        labels_suffix: ending of the segmentations' names, without extension; empty to go by the usual names.

    Raises:
        InputError: a missing folder, a folder without images, a link that leads to nothing, a segmentation without an
            image or with several, two files for one scan, images of several modalities of one subject, or a FreeSurfer
            folder whose image cannot be chosen.
    """
    directory = Path(directory)
    content = folder_content(directory)
    kinds = FileKinds(directory, [*content.files, *content.dangling], image_suffix, labels_suffix)
    kind_of = {file: kinds.kind(file) for file in (*content.files, *content.dangling)}
    check_links([file for file in content.dangling if kind_of[file] in (IMAGE, SEGMENTATION)])
    images: dict[_Key, Path] = {}
    segmentations: dict[_Key, Path] = {}
    for file in content.files:
        if kind_of[file] in (IMAGE, SEGMENTATION):
            _add(images if kind_of[file] == IMAGE else segmentations, kinds.key(file, kind_of[file]), file)
    left_out = _left_out(kind for kind in kind_of.values() if kind not in (IMAGE, SEGMENTATION))
    if content.read_before:
        left_out += f", {len(content.read_before)} links to folders that were read already"
    if not images:
        raise InputError(
            f"{directory}: no image found{left_out}. Expected files named ...{image_suffix} with one of the extensions "
            f"{', '.join(EXTENSIONS)}. Say how names of images end with --image_suffix."
        )
    belongs = _match(images, segmentations, directory)
    scans = []
    for key, file in images.items():
        name = "/".join(part for part in key if part) or stem(file)
        scans.append(Scan(name, file, belongs.get(key) or own_labels(file)))
    if not image_suffix:
        check_modalities(directory, [scan.image for scan in scans])
    labelled = sum(scan.labels is not None for scan in scans)
    logging.info("%s: %d scans, %d of them with a segmentation%s.", directory, len(scans), labelled, left_out)
    return scans


def _left_out(kinds: Iterable[str]) -> str:
    counts = collections.Counter(kinds)
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return f"; left out: {listed}" if listed else ""


def _add(files: dict[_Key, Path], key: _Key, file: Path) -> None:
    if key in files:
        raise InputError(
            f"{file}: stands for the same scan as {files[key]}. Remove one of them, or say how names end with "
            "--image_suffix and --labels_suffix."
        )
    files[key] = file


def _match(images: dict[_Key, Path], segmentations: dict[_Key, Path], directory: Path) -> dict[_Key, Path]:
    """The segmentation of each image that has one."""
    belongs: dict[_Key, Path] = {}
    for key, file in segmentations.items():
        matches = _images_of(key, images)
        if len(matches) != 1:
            what = "there is no image" if not matches else f"several images ({', '.join(k[1] for k in matches)})"
            raise InputError(
                f"{file}: for this segmentation {what} in {directory}. Remove it, add its image, or say how names "
                "end with --image_suffix and --labels_suffix."
            )
        _add(belongs, matches[0], file)
    return belongs


def _images_of(key: _Key, images: Iterable[_Key]) -> list[_Key]:
    """The images that a segmentation may belong to: of its name, else of a longer one, else of its BIDS subject."""
    folder, name = key
    beside = [image for image in images if image[0] == folder]
    return (
        [image for image in beside if image[1] == name]
        or [image for image in beside if not name or image[1].startswith(name + "_")]
        or [image for image in beside if without_description(image[1], True) == without_description(name, False)]
    )


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
