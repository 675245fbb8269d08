"""The files of one registration: paths of its inputs and of its outputs."""

import dataclasses
from typing import Any

from vxm_tf.configuration import check_choices, check_types, described, option, paths_as_text
from vxm_tf.files.errors import InputError
from vxm_tf.models.saved import SHIPPED
from vxm_tf.registration import RegistrationSettings
from vxm_tf.spatial.points import CONVENTIONS
from vxm_tf.spatial.transform_files import FORMATS

NO_MODEL = "none"


@described
@dataclasses.dataclass(frozen=True)
class RegisterConfig:
    """Files of `register_files`; an empty path means that the file is not given, or not written.

    Raises:
        InputError: a choice that does not exist.
    """

    moving: str = option("", "Image to move (NIfTI, MGZ, NPZ); any orientation, spacing and shape.")
    fixed: str = option("", "Image to align the moving image with; any orientation, spacing and shape.")
    model: str = option(
        SHIPPED,
        "The .keras file of the network; shipped for the network that comes with the package, for 3-D heads and brains "
        "of any MR contrast; none to register by optimisation alone.",
    )
    moving_mask: str = option(
        "",
        "Brain mask of the moving image, on its grid: a mask, a label map, or probabilities, which are inside above "
        "0.5. Only voxels inside it are aligned, and only their intensities set the scale.",
    )
    fixed_mask: str = option("", "Brain mask of the fixed image, on its grid, as that of the moving image.")
    strip_command: str = option(
        "",
        "Command that writes a brain mask for an image without one, such as 'mri_synthstrip -i {image} -m {mask}'.",
    )
    moved: str = option("", "Output image: the moving image on the fixed image's grid, in its own intensities.")
    fixed_moved: str = option("", "Output image: the fixed image on the moving image's grid, in its own intensities.")
    transform: str = option(
        "", "Output transform that carries images from moving to fixed (.nii.gz, .h5, .mat, .txt, .mgz, .lta, .x5)."
    )
    inverse_transform: str = option("", "Output transform that carries images from fixed to moving.")
    transform_format: str = option(
        "", "Format of both transforms; empty chooses by extension, and itk for .nii.gz.", choices=("", *FORMATS)
    )
    displacement: str = option("", "Output array `[*spatial, ndim]`: the displacement in voxels of the fixed grid.")
    jacobian: str = option(
        "",
        "Output image: the determinant of the transform on the fixed grid, local volume in the moving image over that "
        "in the fixed image.",
    )
    labels: str = option("", "Segmentation of the moving image.")
    moved_labels: str = option("", "Output segmentation: labels moved to the fixed grid by nearest neighbour.")
    points: str = option("", "Landmarks of the moving image in millimetres: a table with columns x, y, z.")
    moved_points: str = option("", "Output table: the landmarks in the fixed image's space, in millimetres.")
    points_convention: str = option(
        "RAS",
        "World axes of both tables of landmarks: RAS as in NIfTI and FreeSurfer, LPS as in ITK, ANTs and DICOM.",
        choices=CONVENTIONS,
    )
    certify: str = option(
        "",
        "Output certificate (.json): whether the transform and its inverse fold, how regular they are and how well "
        "they undo each other, with the SHA-256 of the model and of every file read and written.",
    )
    report: str = option("", "Output page (.html) that shows the registration: pictures, certificate, files, settings.")
    uncertainty: str = option(
        "",
        "Output map on the fixed grid: standard deviation of the displacement in millimetres, without the affine part.",
    )
    error_bound: str = option(
        "",
        "Output map on the fixed grid: radius in millimetres that holds the true displacement with the probability "
        "that the network was calibrated for (90 %), see vxm-calibrate.",
    )
    gate: str = option(
        "", "Output verdict (.json): whether the registration looks sound, judged without labels, and why."
    )
    output_dir: str = option(
        "",
        "Folder for every output, under the names of BIDS derivatives, with a JSON file beside the transform, a "
        "picture and a report.",
    )

    def __post_init__(self) -> None:
        paths_as_text(self)
        check_types(self)
        check_choices(self)


def files_and_settings(**options: Any) -> tuple[RegisterConfig, RegistrationSettings]:
    """Files and settings from the options of one registration, named as the flags of `register.py`.

    Args:
        **options: fields of `RegisterConfig` and of `RegistrationSettings`. Where both have a field, `uncertainty` and
            `error_bound`, it is the path of the map.

    Raises:
        InputError: an option that does not exist, or a value that it cannot have.
    """
    files = {field.name for field in dataclasses.fields(RegisterConfig)}
    settings = {field.name for field in dataclasses.fields(RegistrationSettings)} - files
    unknown = sorted(set(options) - files - settings)
    if unknown:
        raise InputError(f"There is no option {', '.join(unknown)} of a registration; see register.py --help.")
    return (
        RegisterConfig(**{name: value for name, value in options.items() if name in files}),
        RegistrationSettings(**{name: value for name, value in options.items() if name in settings}),
    )
