"""File name extensions of volumes."""

import os
import re
from pathlib import Path

NIBABEL_EXTENSIONS = (".nii.gz", ".nii", ".mgz", ".mgh")
PAIR_EXTENSIONS = (".hdr.gz", ".hdr", ".img.gz", ".img")
ITK_EXTENSIONS = (".nrrd", ".nhdr", ".mha", ".mhd")
EXTENSIONS = (*NIBABEL_EXTENSIONS, *PAIR_EXTENSIONS, *ITK_EXTENSIONS, ".npz")
# A volume is written as one file, so that it is written whole or not at all.
WRITTEN_EXTENSIONS = (*NIBABEL_EXTENSIONS, ".nrrd", ".mha", ".npz")


def extension(path: str | os.PathLike) -> str | None:
    """A path's extension in lower case if it is one of `EXTENSIONS`, else None."""
    name = str(path).lower()
    return next((e for e in EXTENSIONS if name.endswith(e)), None)


def stem(path: str | os.PathLike) -> str:
    """A path's file name without its extension, where `.nii.gz` is one extension."""
    name = Path(path).name
    return name[: -len(extension(path) or "")] or name


def names_volume(path: str | os.PathLike) -> bool:
    """Whether a file found in a folder names a volume: its extension is known, and it is not the `.img` of a `.hdr`.

    A pair of `.hdr` and `.img` is one volume, which stands in a folder under the name of its header.
    """
    kind = extension(path)
    return kind is not None and not (kind in (".img", ".img.gz") and pair_partner(path).exists())


def pair_partner(path: str | os.PathLike) -> Path:
    """The other file of a pair of `.hdr` and `.img`."""
    swap = {"hdr": "img", "img": "hdr", "HDR": "IMG", "IMG": "HDR"}
    name = re.sub(r"\.(hdr|img)(?=(\.gz)?$)", lambda m: f".{swap.get(m[1], m[1])}", Path(path).name, flags=re.I)
    return Path(path).with_name(name)
