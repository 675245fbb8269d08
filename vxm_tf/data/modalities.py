"""Modalities of scans by their names, so that a T1 is not paired with a T2 unawares."""

import re
from collections.abc import Iterable
from pathlib import Path

from absl import logging

from vxm_tf.data.bids_names import subject_of
from vxm_tf.data.file_kinds import IMAGE_FOLDER
from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import stem

# Word in a name -> modality. t1n, t1c, t2f are BraTS', T1w and T2w are BIDS'.
WORDS = {
    **dict.fromkeys(("t1", "t1w", "t1n", "mprage", "mp2rage", "unit1"), "T1"),
    **dict.fromkeys(("t1c", "t1ce", "t1gd"), "T1 with contrast agent"),
    **dict.fromkeys(("t2", "t2w", "inplanet2"), "T2"),
    **dict.fromkeys(("flair", "t2f"), "FLAIR"),
    **dict.fromkeys(("pd", "pdw"), "PD"),
    **dict.fromkeys(("bold", "fmri", "epi", "sbref"), "EPI"),
    **dict.fromkeys(("ct", "cta"), "CT"),
    **{word: word.upper() for word in ("dwi", "adc", "pet", "swi", "mra", "angio", "asl", "t2star", "t2starw")},
}
_NUMBERED = re.compile(r"t\d+")
_CHANNEL = re.compile(r"(.*\d.*)_\d{4}")
_SEPARATORS = re.compile(r"[\s_.\-/]+")


def check_modalities(directory: Path, images: Iterable[Path]) -> None:
    """Compare the modalities that the names of images state; names that state none are passed over.

    A warning is logged if the images of different subjects have different modalities.

    Args:
        directory: the folder that holds the images.
        images: images that will be paired with each other.

    Raises:
        InputError: images of several modalities of one subject, or side by side in one folder.
    """
    images = list(images)
    _warn_of_channels(directory, images)
    examples: dict[str, Path] = {}
    subjects: dict[str, dict[str, Path]] = {}
    words_of = {image: _words(directory, image) for image in images}
    # Beside a t0 or a t3, t1 and t2 are numbers of scans.
    numbered = any(_NUMBERED.fullmatch(word) and word not in WORDS for words in words_of.values() for word in words)
    known = {word: modality for word, modality in WORDS.items() if not (numbered and _NUMBERED.fullmatch(word))}
    for image, words in words_of.items():
        modality = next((known[word] for word in reversed(words) if word in known), "")
        subject = subject_of(stem(image)) or "/".join(word for word in words if word not in known)
        if modality:
            examples.setdefault(modality, image)
            subjects.setdefault(subject, {}).setdefault(modality, image)
    for found in subjects.values():
        if len(found) > 1:
            listed = ", ".join(f"{modality} ({image.relative_to(directory)})" for modality, image in found.items())
            raise InputError(
                f"{directory}: holds images of several modalities side by side: {listed}. They would be paired with "
                "each other. Choose one with --image_suffix, such as _T1w, or name the scans or pairs in a list."
            )
    if len(examples) > 1:
        logging.warning(
            "%s: the names of the images state several modalities: %s. They are paired with each other; choose one "
            "with --image_suffix.",
            directory, ", ".join(f"{modality} ({image.name})" for modality, image in examples.items()),
        )  # fmt: skip


def _warn_of_channels(directory: Path, images: Iterable[Path]) -> None:
    """Warn of nnU-Net's channels, case_001_0000 and case_001_0001, which may be modalities or time points."""
    cases: dict[str, Path] = {}
    for image in images:
        match = _CHANNEL.fullmatch(stem(image))
        if match and any(IMAGE_FOLDER.fullmatch(part) for part in image.relative_to(directory).parts[:-1]):
            other = cases.setdefault(match[1], image)
            if other != image:
                logging.warning(
                    "%s: %s and %s are channels of one case, such as modalities, and are paired with each other and "
                    "with those of other cases. Choose one with --image_suffix %s.",
                    directory, other.name, image.name, stem(other)[-5:],
                )  # fmt: skip
                return


def _words(directory: Path, image: Path) -> list[str]:
    """The words of an image's path below a folder, in lower case."""
    relative = image.relative_to(directory)
    path = "/".join((*relative.parts[:-1], stem(image)))
    return [word for word in _SEPARATORS.split(path.lower()) if word]
