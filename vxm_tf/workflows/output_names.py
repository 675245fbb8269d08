"""Names of outputs after BIDS derivatives, which describe the content of each file."""

import dataclasses
import hashlib
import os
import re
import unicodedata
from pathlib import Path

from vxm_tf.files.atomic import NAME_BYTES, check_output_dir
from vxm_tf.files.extensions import stem
from vxm_tf.registration import RegistrationSettings
from vxm_tf.spatial.image import IN_MEMORY
from vxm_tf.spatial.points import points_suffix
from vxm_tf.workflows.register_config import RegisterConfig

SUFFIXES = ("T1w", "T2w", "PDw", "FLAIR", "T2starw", "inplaneT1", "inplaneT2", "bold", "dwi", "epi", "ct", "pet")

# Bytes of the longest output's name beside the spaces of both images and the prefix.
OTHER_BYTES = 45
DIGEST = 8


@dataclasses.dataclass(frozen=True)
class Names:
    """Parts of an image's name after BIDS.

    Attributes:
        prefix: subject and session, such as "sub-01_ses-2_", or empty.
        suffix: kind of image, such as "T1w"; "image" if the name has none.
        space: letters and digits, in any script, that stand for the image's space.
    """

    prefix: str
    suffix: str
    space: str

    @classmethod
    def of(cls, path: str | os.PathLike) -> "Names":
        """Parse the name of a file, whether or not it follows BIDS."""
        name = unicodedata.normalize("NFC", stem(str(path).removesuffix(f" {IN_MEMORY}")))
        entities = re.match(r"(sub-[^\W_]+)(_ses-[^\W_]+)?(?:_|$)", name)
        prefix = "".join(part for part in entities.groups() if part) + "_" if entities else ""
        last = name.rsplit("_", 1)[-1]
        suffix = last if last in SUFFIXES else "image"
        template = re.search(r"(?:^|_)(?:tpl|space)-([^\W_]+)", name)
        space = template.group(1) if template else _letters(name)
        return cls(prefix, suffix, space or "image")


def names_of_pair(moving: str | os.PathLike, fixed: str | os.PathLike) -> tuple[Names, Names]:
    """The names of two images, with spaces that differ and are short enough for every output's name.

    Where both images have one name, their spaces are named after the folders that differ, else after their roles,
    "moving" and "fixed": an image in memory, or a file that is registered with itself. A space that is too long is cut
    and ends with a hash of the whole.
    The roles, "moving" and "fixed", tell apart an image in memory, and a file that is registered with itself.
    """
    first, second = Names.of(moving), Names.of(fixed)
    starts = _told_apart(moving, fixed) if _alike(first.space, second.space) else ("", "")
    spaces = starts[0] + first.space, starts[1] + second.space
    room = NAME_BYTES - OTHER_BYTES - max(len(names.prefix.encode()) for names in (first, second))
    sizes = [len(space.encode()) for space in spaces]
    if sum(sizes) > room:
        # A short space leaves the rest of the room to the other.
        limits = max(room // 2, room - sizes[1]), max(room // 2, room - sizes[0])
        spaces = _cut(spaces[0], limits[0]), _cut(spaces[1], limits[1])
    return dataclasses.replace(first, space=spaces[0]), dataclasses.replace(second, space=spaces[1])


def _told_apart(moving: str | os.PathLike, fixed: str | os.PathLike) -> tuple[str, str]:
    """Texts before the equal names of two images, which tell them apart."""
    # An image in memory may have the name of a file that it was changed from, but no folder.
    if not any(str(source).endswith(IN_MEMORY) for source in (moving, fixed)):
        folders = [[_letters(part) for part in Path(path).resolve().parts[-2::-1]] for path in (moving, fixed)]
        for one, other in zip(*folders):
            if not _alike(one, other):
                return one, other
    return "moving", "fixed"


def _letters(text: str) -> str:
    """The letters, marks and digits of a text, in composed form, so that equal texts have equal bytes."""
    return "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c)[0] in "LMN")


def _alike(one: str, other: str) -> bool:
    """Whether two names may be one file: some file systems ignore case."""
    return one.casefold() == other.casefold()


def _cut(text: str, size: int) -> str:
    """A text of at most `size` bytes in UTF-8; a longer one is cut, and ends with a hash of the whole."""
    if len(text.encode()) <= size:
        return text
    kept = text.encode()[: max(size - DIGEST, 0)].decode(errors="ignore")
    return kept + hashlib.sha256(text.encode()).hexdigest()[:DIGEST]


def in_output_dir(config: RegisterConfig, settings: RegistrationSettings) -> RegisterConfig:
    """The configuration with every output of the settings named in its `output_dir`, which can be written.

    Args:
        config: a configuration with an `output_dir`.
        settings: settings of the registration.

    Raises:
        InputError: a folder that cannot be written.
    """
    check_output_dir(config.output_dir)
    uncertainty = settings.uncertainty or settings.samples > 0
    return with_bids_names(config, uncertainty=uncertainty, error_bound=settings.error_bound)


def with_bids_names(config: RegisterConfig, *, uncertainty: bool = False, error_bound: bool = False) -> RegisterConfig:
    """The configuration with a path in `output_dir` for every output that it does not name.

    A transform that carries images from A to B is `<sub>_from-A_to-B_mode-image_xfm`; an image that was moved to the
    grid of B is `<sub>_space-B_desc-moved_<suffix>`.

    Args:
        config: a configuration with an `output_dir`.
        uncertainty: whether a map of the uncertainty is written too.
        error_bound: whether a map of the error bound is written too.
    """
    moving, fixed = names_of_pair(config.moving, config.fixed)
    onto, back = f"{moving.prefix}space-{fixed.space}", f"{fixed.prefix}space-{moving.space}"
    tail = {"freesurfer": ".mgz", "x5": ".x5"}.get(config.transform_format, ".nii.gz")
    names = {
        "moved": f"{onto}_desc-moved_{moving.suffix}.nii.gz",
        "fixed_moved": f"{back}_desc-moved_{fixed.suffix}.nii.gz",
        "transform": f"{moving.prefix}from-{moving.space}_to-{fixed.space}_mode-image_xfm{tail}",
        "inverse_transform": f"{moving.prefix}from-{fixed.space}_to-{moving.space}_mode-image_xfm{tail}",
        "jacobian": f"{onto}_desc-jacobian_{moving.suffix}.nii.gz",
        "certify": f"{moving.prefix}from-{moving.space}_to-{fixed.space}_desc-certificate_xfm.json",
        "report": f"{moving.prefix}from-{moving.space}_to-{fixed.space}_desc-report_xfm.html",
        "gate": f"{moving.prefix}from-{moving.space}_to-{fixed.space}_desc-gate_xfm.json",
    }
    if uncertainty:
        names["uncertainty"] = f"{onto}_desc-uncertainty_{moving.suffix}.nii.gz"
    if error_bound:
        names["error_bound"] = f"{onto}_desc-errorbound_{moving.suffix}.nii.gz"
    if config.labels:
        names["moved_labels"] = f"{onto}_desc-moved_dseg.nii.gz"
    if config.points:
        names["moved_points"] = f"{onto}_desc-moved_points{points_suffix(config.points)}"
    folder = Path(config.output_dir)
    return dataclasses.replace(
        config, **{name: getattr(config, name) or str(folder / value) for name, value in names.items()}
    )


def beside(path: str | os.PathLike, ending: str) -> str:
    """A path of the same name with another ending: `x_xfm.nii.gz` and ".json" give `x_xfm.json`."""
    path = Path(path)
    return str(path.with_name(re.sub(r"(\.nii)?\.[A-Za-z0-9]+$", "", path.name) + ending))
