"""Modalities of scans by their names, so that a T1 is not paired with a T2 unawares."""

import re
from collections.abc import Iterable
from pathlib import Path

from absl import logging

from vxm_tf.data.bids_names import subject_of
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
_SEPARATORS = re.compile(r"[\s_.\-/]+")


def check_modalities(directory: Path, images: Iterable[Path]) -> None:
    """Compare the modalities that the names of images state; names that state none are passed over.

    A warning is logged if the images of different subjects have different modalities.

    Args:
        directory: the folder that holds the images.
        images: images that will be paired with each other.

    Raises:
        InputError: images of several modalities of one subject.
    """
    examples: dict[str, Path] = {}
    subjects: dict[str, dict[str, Path]] = {}
    for image in images:
        modality, subject = _modality_and_subject(directory, image)
        if modality:
            examples.setdefault(modality, image)
            subjects.setdefault(subject, {}).setdefault(modality, image)
    for found in subjects.values():
        if len(found) > 1:
            listed = ", ".join(f"{modality} ({image.relative_to(directory)})" for modality, image in found.items())
            raise InputError(
                f"{directory}: holds images of several modalities of one subject: {listed}. They would be paired with "
                "each other. Choose one with --image_suffix, such as _T1w, or name the scans or pairs in a list."
            )
    if len(examples) > 1:
        logging.warning(
            "%s: the names of the images state several modalities: %s. They are paired with each other; choose one "
            "with --image_suffix.",
            directory, ", ".join(f"{modality} ({image.name})" for modality, image in examples.items()),
        )  # fmt: skip


def _modality_and_subject(directory: Path, image: Path) -> tuple[str, str]:
    """(modality, name of the subject), from the words of the path; an empty modality where no word states one."""
    relative = image.relative_to(directory)
    words = [word for word in _SEPARATORS.split("/".join((*relative.parts[:-1], stem(image)))) if word]
    stated = [WORDS[word.lower()] for word in words if word.lower() in WORDS]
    others = [word for word in words if word.lower() not in WORDS]
    return (stated[-1] if stated else ""), subject_of(stem(image)) or "/".join(others)
