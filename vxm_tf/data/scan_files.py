"""The volume files below a folder, through symbolic links, with each link whose target is missing."""

import dataclasses
import os
from pathlib import Path

from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import extension, names_volume

# Names of missing files that one message lists.
MOST_NAMES = 10


@dataclasses.dataclass(frozen=True)
class FolderContent:
    """The files below a folder that may hold volumes, in order of their names.

    Attributes:
        files: volume files, reached through folders and through links to folders or files.
        dangling: links without a target: volumes by their name, or links without an extension, such as to a folder.
        read_before: linked folders that were left out because the same folder was read already.
    """

    files: list[Path]
    dangling: list[Path]
    read_before: list[Path]


def folder_content(directory: str | os.PathLike) -> FolderContent:
    """Find the volume files below a folder; hidden files and folders are left out.

    Links to folders are followed. Each folder is read once, so that a link to a folder above it ends the search there.

    Raises:
        InputError: no such folder, or a folder below it that cannot be opened.
    """
    directory = Path(directory)
    if directory.is_file():
        raise InputError(
            f"{directory}: is a file, and a folder was expected. A list of scans is given with --train_list or "
            "--val_list, a list of pairs with --train_pairs, --val_pairs or --pairs."
        )
    if not directory.is_dir():
        raise InputError(f"{directory}: there is no such folder.")
    files: list[Path] = []
    dangling: list[Path] = []
    read_before: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(directory, followlinks=True, onerror=_refuse):
        real = os.path.realpath(place)
        if real in seen:
            read_before.append(Path(place))
            folders.clear()
            continue
        seen.add(real)
        # Folders come before links to them, so that a scan keeps the name of its own place.
        shown = [name for name in folders if not name.startswith(".")]
        folders[:] = sorted(shown, key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if path.is_symlink() and not path.exists():
                if extension(path) or not path.suffix:
                    dangling.append(path)
            elif names_volume(path) and path.is_file():
                files.append(path)
    return FolderContent(sorted(files), sorted(dangling), read_before)


def check_links(dangling: list[Path]) -> None:
    """Raise `InputError` that names the given links, whose targets are missing, and says what to do."""
    if not dangling:
        return
    listed = [f"{path} -> {os.readlink(path)}" for path in dangling[:MOST_NAMES]]
    more = [f"... and {len(dangling) - MOST_NAMES} more."] if len(dangling) > MOST_NAMES else []
    files = "1 link leads" if len(dangling) == 1 else f"{len(dangling)} links lead"
    raise InputError(
        "\n".join(
            [
                f"{files} to nothing. Fetch the files, for example with `datalad get` or `git annex get`, or remove "
                "the links, or name the scans to use in a list (--train_list, --val_list):",
                *listed,
                *more,
            ]
        )
    )


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: this folder cannot be opened ({error.strerror}).") from error
