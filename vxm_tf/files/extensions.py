"""File name extensions of volumes."""

import os
from pathlib import Path

NIBABEL_EXTENSIONS = (".nii.gz", ".nii", ".mgz", ".mgh")
EXTENSIONS = (*NIBABEL_EXTENSIONS, ".npz")


def extension(path: str | os.PathLike) -> str | None:
    """A path's extension in lower case if it is one of `EXTENSIONS`, else None."""
    name = str(path).lower()
    return next((e for e in EXTENSIONS if name.endswith(e)), None)


def stem(path: str | os.PathLike) -> str:
    """A path's file name without its extension, where `.nii.gz` is one extension."""
    name = Path(path).name
    return name[: -len(extension(path) or "")] or name
