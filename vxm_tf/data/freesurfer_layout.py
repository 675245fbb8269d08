"""Folders of FreeSurfer's subjects, whose `mri` folder holds one scan in many stages and several segmentations."""

import re
from collections.abc import Collection
from pathlib import Path

from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import stem

# Stages of the scan that networks are trained on, the first that is there: without the skull, evenly bright.
IMAGES = ("norm", "brain")
SEGMENTATIONS = ("aseg", "aparc+aseg")
# Names that no other layout uses together.
NAMES = (
    {"brainmask", "nu", "orig", "orig_nu", "rawavg", "ribbon", "wm", "wmparc", "filled", "brain.finalsurfs", "T1"}
    | set(IMAGES)
    | set(SEGMENTATIONS)
)
UNSPECIFIC = {"T1", "brain"}
_APARC = re.compile(r"aparc.*\+aseg")
_AVERAGE = re.compile(r"fsaverage\w*")

OTHER = "FreeSurfer's other files"
AVERAGE = "FreeSurfer's average subject"


class FreeSurferFolders:
    """The FreeSurfer folders among the files of a data set.

    Args:
        files: all volume files of the set.
    """

    def __init__(self, files: Collection[Path]) -> None:
        stems: dict[Path, set[str]] = {}
        for file in files:
            stems.setdefault(file.parent, set()).add(stem(file))
        self.stems = {folder: names for folder, names in stems.items() if _is_freesurfer(names)}
        self.inside = set(self.stems) | {folder.parent for folder in self.stems if folder.name == "mri"}

    def holds(self, file: Path) -> bool:
        """Whether a file lies directly in a folder such as `mri`."""
        return file.parent in self.stems

    def left_out(self, file: Path) -> str:
        """The reason why a file is no scan that can be chosen by its name; empty if it may be one."""
        if any(_AVERAGE.fullmatch(part) for part in file.parts[:-1]):
            return AVERAGE
        return OTHER if not self.holds(file) and not self.inside.isdisjoint(file.parents) else ""

    def image_of(self, folder: Path) -> str:
        """The name of the image to use in a folder.

        Raises:
            InputError: neither `norm` nor `brain`.
        """
        names = self.stems[folder]
        for name in IMAGES:
            if name in names:
                return name
        listed = ", ".join(sorted(names))
        raise InputError(
            f"{folder}: this FreeSurfer folder holds neither norm nor brain. Name the image to use with "
            f"--image_suffix, such as --image_suffix {'T1' if 'T1' in names else 'orig'}. It holds {listed}."
        )

    def labels_of(self, folder: Path) -> str:
        """The name of the segmentation to use in a folder: `aseg`, else `aparc+aseg`; empty if there is none."""
        names = self.stems[folder]
        others = sorted(name for name in names if _APARC.fullmatch(name))
        return next((name for name in (*SEGMENTATIONS, *others) if name in names), "")


def _is_freesurfer(names: set[str]) -> bool:
    known = {name for name in names if name in NAMES or _APARC.fullmatch(name)}
    return len(known) >= 2 and bool(known - UNSPECIFIC)
