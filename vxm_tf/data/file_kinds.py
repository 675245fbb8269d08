"""What a volume file is by its name and folder: an image, a segmentation, or neither.

The layouts are those of BIDS, the Medical Segmentation Decathlon, nnU-Net, Learn2Reg and FreeSurfer.
"""

import re
from collections.abc import Collection
from pathlib import Path

from vxm_tf.data.freesurfer_layout import FreeSurferFolders
from vxm_tf.files.extensions import stem

IMAGE, SEGMENTATION = "image", "segmentation"

IMAGE_FOLDER = re.compile(r"images?(tr|ts|val)?", re.IGNORECASE)
SEGMENTATION_FOLDER = re.compile(r"(labels?|segs?|segmentations?)(tr|ts|val)?", re.IGNORECASE)
MASK_FOLDER = re.compile(r"(brain)?masks?(tr|ts|val)?", re.IGNORECASE)
TEST_FOLDER = re.compile(r"(images?|labels?|masks?)ts", re.IGNORECASE)
TRAINING_FOLDER = re.compile(r"images?tr", re.IGNORECASE)

# Endings of names, each after a separator or alone.
_SEGMENTATION = re.compile(
    r"(^|[_.-])(d?seg|aseg|labels?|segmentations?|parcellation|aparc[^_]*\+aseg|aparcaseg|wmparc|pveseg)$",
    re.IGNORECASE,
)
_MASK = re.compile(r"[_.-]?((brain|deface|lesion)[_-]?)?mask$|(^|[_.-])roi$", re.IGNORECASE)
_PROBABILITY = re.compile(r"(^|[_.-])(probseg|prob(s|map|ability)?|(pve|posteriors?)_?\d*)$", re.IGNORECASE)
_ONE_STRUCTURE = re.compile(r"(^|_)label-[^_]+", re.IGNORECASE)
_TRANSFORM = re.compile(r"(^|[_.-])(xfm|\d?(inverse)?warp|warpfield|displacement|jacobian)$", re.IGNORECASE)

MASK, PROBABILITY, TRANSFORM = "masks", "probability maps", "transforms"
OTHER_SUFFIX, OTHER_SEGMENTATION, TEST = (
    "images without --image_suffix",
    "segmentations without --labels_suffix",
    "test images beside training images",
)


class FileKinds:
    """Tells images from segmentations, and both from what is neither, among the files of one folder.

    Args:
        directory: the folder.
        files: all volume files below it.
        image_suffix: ending of the images' names, without extension; empty to go by known names.
        labels_suffix: ending of the segmentations' names, without extension; empty to go by known names.
    """

    def __init__(
        self, directory: Path, files: Collection[Path], image_suffix: str = "", labels_suffix: str = ""
    ) -> None:
        self.directory = directory
        self.image_suffix, self.labels_suffix = image_suffix, labels_suffix
        self.freesurfer = FreeSurferFolders(files)
        self.stems = {(file.parent, stem(file)) for file in files}
        self.training = {
            Path(*file.parts[:index])
            for file in files
            for index, part in enumerate(file.parts[:-1])
            if index >= len(directory.parts) and TRAINING_FOLDER.fullmatch(part)
        }

    def kind(self, file: Path) -> str:
        """`IMAGE`, `SEGMENTATION`, or what a file is that is neither, in the plural, such as "masks".

        Raises:
            InputError: a FreeSurfer folder whose image cannot be chosen.
        """
        folders = self._folders(file)
        if self._is_test(file):
            return TEST
        if other := self.freesurfer.left_out(file):
            return other
        if self.labels_suffix and self._ends(file, self.labels_suffix):
            return SEGMENTATION
        if any(SEGMENTATION_FOLDER.fullmatch(folder) for folder in folders):
            return SEGMENTATION
        if self.freesurfer.holds(file):
            return self._kind_in_freesurfer(file)
        if _SEGMENTATION.search(stem(file)):
            return OTHER_SEGMENTATION if self.labels_suffix else SEGMENTATION
        if self.image_suffix:
            return IMAGE if self._ends(file, self.image_suffix) else OTHER_SUFFIX
        return _by_name(stem(file), folders)

    def key(self, file: Path, kind: str) -> tuple[str, str]:
        """(folder, name) without all that distinguishes an image from its segmentation, such as `imagesTr` and `_seg`.

        Args:
            file: an image or a segmentation.
            kind: `IMAGE` or `SEGMENTATION`.
        """
        folders = [
            f for f in self._folders(file) if not (IMAGE_FOLDER.fullmatch(f) or SEGMENTATION_FOLDER.fullmatch(f))
        ]
        if kind == SEGMENTATION and "derivatives" in folders:
            # BIDS: derivatives/PIPELINE/sub-01/anat belongs to sub-01/anat.
            place = folders.index("derivatives")
            folders = folders[:place] + folders[place + 2 :]
        name = stem(file)
        suffix = self.image_suffix if kind == IMAGE else self.labels_suffix
        if self.freesurfer.holds(file):
            folders = folders[:-1] if folders and folders[-1] == "mri" else folders
            if not suffix or self._ends(file, suffix):
                return "/".join(folders), ""
        if suffix and name.endswith(suffix):
            name = name[: len(name) - len(suffix)]
        elif kind == SEGMENTATION and not suffix:
            name = _SEGMENTATION.sub("", name) if _SEGMENTATION.search(name) else _MASK.sub("", name)
        return "/".join(folders), name

    def _folders(self, file: Path) -> tuple[str, ...]:
        return file.relative_to(self.directory).parts[:-1]

    def _ends(self, file: Path, suffix: str) -> bool:
        """Whether a name ends in a suffix; where a file of that very name lies beside it, no other one does."""
        name = stem(file)
        if not name.endswith(suffix) or (name != suffix and (file.parent, suffix) in self.stems):
            return False
        # FreeSurfer joins two segmentations with +: aparc+aseg is no aseg.
        return suffix[0] == "+" or name[: len(name) - len(suffix)][-1:] != "+"

    def _is_test(self, file: Path) -> bool:
        start = len(self.directory.parts)
        places = [index for index, part in enumerate(file.parts[:-1]) if index >= start and TEST_FOLDER.fullmatch(part)]
        return any(Path(*file.parts[:index]) in self.training for index in places)

    def _kind_in_freesurfer(self, file: Path) -> str:
        name, choice = stem(file), self.freesurfer
        if self.image_suffix and self._ends(file, self.image_suffix):
            return IMAGE
        if not self.image_suffix and name == choice.image_of(file.parent):
            return IMAGE
        if not self.labels_suffix and name == choice.labels_of(file.parent):
            return SEGMENTATION
        return OTHER_SEGMENTATION if _SEGMENTATION.search(name) else "FreeSurfer's other files"


def says_segmentation(file: Path) -> bool:
    """Whether a file's name or one of its folders says that it is a segmentation; the path is relative to the set."""
    return bool(_SEGMENTATION.search(stem(file))) or any(
        SEGMENTATION_FOLDER.fullmatch(part) for part in file.parts[:-1]
    )


def _by_name(name: str, folders: Collection[str]) -> str:
    if _MASK.search(name) or any(MASK_FOLDER.fullmatch(folder) for folder in folders):
        return MASK
    if _PROBABILITY.search(name):
        return PROBABILITY
    if _TRANSFORM.search(name):
        return TRANSFORM
    return "maps of one structure" if _ONE_STRUCTURE.search(name) else IMAGE
