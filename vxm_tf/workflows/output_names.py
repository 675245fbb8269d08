"""Names of outputs after BIDS derivatives, which describe the content of each file."""

import dataclasses
import os
import re
from pathlib import Path

from vxm_tf.files.atomic import check_output_dir
from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import stem
from vxm_tf.registration import RegistrationSettings
from vxm_tf.spatial.image import IN_MEMORY
from vxm_tf.spatial.points import points_suffix
from vxm_tf.workflows.register_config import RegisterConfig

SUFFIXES = ("T1w", "T2w", "PDw", "FLAIR", "T2starw", "inplaneT1", "inplaneT2", "bold", "dwi", "epi", "ct", "pet")


@dataclasses.dataclass(frozen=True)
class Names:
    """Parts of an image's name after BIDS.

    Attributes:
        prefix: subject and session, such as "sub-01_ses-2_", or empty.
        suffix: kind of image, such as "T1w"; "image" if the name has none.
        space: letters and digits that stand for the image's space.
    """

    prefix: str
    suffix: str
    space: str

    @classmethod
    def of(cls, path: str | os.PathLike) -> "Names":
        """Parse the name of a file, whether or not it follows BIDS."""
        name = stem(str(path).removesuffix(f" {IN_MEMORY}"))
        entities = re.match(r"(sub-[A-Za-z0-9]+)(_ses-[A-Za-z0-9]+)?(?:_|$)", name)
        prefix = "".join(part for part in entities.groups() if part) + "_" if entities else ""
        last = name.rsplit("_", 1)[-1]
        suffix = last if last in SUFFIXES else "image"
        template = re.search(r"(?:^|_)(?:tpl|space)-([A-Za-z0-9]+)", name)
        space = template.group(1) if template else re.sub(r"[^A-Za-z0-9]", "", name)
        return cls(prefix, suffix, space or "image")


def names_of_pair(moving: str | os.PathLike, fixed: str | os.PathLike) -> tuple[Names, Names]:
    """The names of two images; where both have one, their spaces are named after the folders that differ, or the roles.

    Raises:
        InputError: moving and fixed are one file.
    """
    first, second = Names.of(moving), Names.of(fixed)
    if first.space != second.space:
        return first, second
    if any(str(source).endswith(IN_MEMORY) for source in (moving, fixed)):
        # Such an image may have the name of a file that it was changed from, but no folder.
        spaces = "moving" + first.space, "fixed" + second.space
        return dataclasses.replace(first, space=spaces[0]), dataclasses.replace(second, space=spaces[1])
    folders = [[re.sub(r"[^A-Za-z0-9]", "", part) for part in Path(p).resolve().parts[-2::-1]] for p in (moving, fixed)]
    for one, other in zip(*folders):
        if one != other:
            return (
                dataclasses.replace(first, space=one + first.space),
                dataclasses.replace(second, space=other + second.space),
            )
    raise InputError(
        f"{moving} and {fixed} have one name, so outputs in --output_dir would be mixed up. Name the outputs one by "
        "one."
    )


def in_output_dir(config: RegisterConfig, settings: RegistrationSettings) -> RegisterConfig:
    """The configuration with every output of the settings named in its `output_dir`, which can be written.

    Args:
        config: a configuration with an `output_dir`.
        settings: settings of the registration.

    Raises:
        InputError: a folder that cannot be written, or one name for both images' spaces.
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

    Raises:
        InputError: both images would have one name for their space.
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
