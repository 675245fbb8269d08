"""Names of outputs after BIDS derivatives, so that others find what a file is."""

import dataclasses
import re
from pathlib import Path

from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import stem
from vxm_tf.spatial.image import IN_MEMORY
from vxm_tf.workflows.register_config import RegisterConfig

SUFFIXES = ("T1w", "T2w", "PDw", "FLAIR", "T2starw", "inplaneT1", "inplaneT2", "bold", "dwi", "epi", "ct", "pet")


@dataclasses.dataclass(frozen=True)
class Names:
    """What BIDS says of one image's name.

    Attributes:
        prefix: its subject and session, such as "sub-01_ses-2_", or nothing.
        suffix: what kind of image it is, such as "T1w"; "image" if the name does not say.
        space: letters and digits that stand for its space.
    """

    prefix: str
    suffix: str
    space: str

    @classmethod
    def of(cls, path):
        """From a file's name, BIDS or not."""
        name = stem(str(path).removesuffix(f" {IN_MEMORY}"))
        entities = re.match(r"(sub-[A-Za-z0-9]+)(_ses-[A-Za-z0-9]+)?(?:_|$)", name)
        prefix = "".join(part for part in entities.groups() if part) + "_" if entities else ""
        last = name.rsplit("_", 1)[-1]
        suffix = last if last in SUFFIXES else "image"
        template = re.search(r"(?:^|_)(?:tpl|space)-([A-Za-z0-9]+)", name)
        space = template.group(1) if template else re.sub(r"[^A-Za-z0-9]", "", name)
        return cls(prefix, suffix, space or "image")


def names_of_pair(moving, fixed) -> tuple:
    """The names of two images; where both files are called the same, by the folders in which they differ.

    Raises:
        InputError: one file.
    """
    names = Names.of(moving), Names.of(fixed)
    if names[0].space != names[1].space:
        return names
    folders = [[re.sub(r"[^A-Za-z0-9]", "", part) for part in Path(p).resolve().parts[-2::-1]] for p in (moving, fixed)]
    for pair in zip(*folders):
        if pair[0] != pair[1]:
            return tuple(dataclasses.replace(n, space=folder + n.space) for n, folder in zip(names, pair))
    raise InputError(
        f"{moving} and {fixed} have one name, so outputs in --output_dir would be mixed up. Name the outputs one by "
        "one."
    )


def with_bids_names(config: RegisterConfig, *, uncertainty: bool = False) -> RegisterConfig:
    """A `RegisterConfig` whose every output that was not named lies in its `output_dir`.

    Transforms are `<sub>_from-A_to-B_mode-image_xfm`, which carry images from A to B; images on another's grid
    `<sub>_space-B_desc-moved_<suffix>`.

    Args:
        config: with an `output_dir`.
        uncertainty: whether a map of the uncertainty is written too.

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
    if config.labels:
        names["moved_labels"] = f"{onto}_desc-moved_dseg.nii.gz"
    if config.points:
        names["moved_points"] = f"{onto}_desc-moved_points{Path(config.points).suffix}"
    folder = Path(config.output_dir)
    return dataclasses.replace(
        config, **{name: getattr(config, name) or str(folder / value) for name, value in names.items()}
    )


def beside(path, ending: str) -> str:
    """A path of the same name with another ending: `x_xfm.nii.gz` and ".json" give `x_xfm.json`."""
    path = Path(path)
    return str(path.with_name(re.sub(r"(\.nii)?\.[A-Za-z0-9]+$", "", path.name) + ending))
