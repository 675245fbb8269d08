"""Moving images, series, labels and landmarks by transform files of any tool."""

import dataclasses
from collections.abc import Callable

import numpy as np
from absl import logging

from vxm_tf.configuration import check_choices, described, option
from vxm_tf.files.distinct_paths import check_distinct
from vxm_tf.files.errors import InputError
from vxm_tf.files.volumes import Volume, read_labels, read_series
from vxm_tf.files.writing import check_output, write_volume
from vxm_tf.spatial import SpatialImage, resample
from vxm_tf.spatial.background import background_values
from vxm_tf.spatial.chain_files import check_axes, read_chain
from vxm_tf.spatial.image import read_beside
from vxm_tf.spatial.interpolation import ORDERS
from vxm_tf.spatial.inversion import solve_points, unsolved_mm
from vxm_tf.spatial.points import CONVENTIONS, check_points_output, read_points, write_points
from vxm_tf.spatial.transform_files import FORMATS, check_belongs
from vxm_tf.spatial.transforms import Transform

PAIRS = (("image", "moved"), ("labels", "moved_labels"), ("points", "moved_points"))


@described
@dataclasses.dataclass(frozen=True)
class ApplyConfig:
    """Settings of `apply_files`; `vxm-apply` has one flag for each."""

    transforms: tuple[str, ...] = option(
        (),
        "Transform files with commas between, in the order in which an image goes through them: first the one that "
        "starts in the space of the image. (antsApplyTransforms -t lists them the other way round.)",
    )
    transform_format: str = option(
        "", "Format of all transform files; empty chooses by extension and content.", choices=("", *FORMATS)
    )
    reference: str = option("", "Fixed image of the transforms, whose grid the moved image and labels get.")
    moving: str = option(
        "",
        "Moving image of the transforms, for formats whose numbers depend on its grid (FSL); empty for the image or "
        "the labels that are moved.",
    )
    image: str = option("", "Image to move: a volume, or a series of volumes. Voxels may be NaN; they are left out.")
    moved: str = option("", "Output file of the moved image.")
    interpolation: str = option("linear", "Interpolation of the image.", choices=tuple(ORDERS))
    fill_value: float | None = option(
        None,
        "Value of the moved image outside the moving image's field of view. If it is not given, the moving image's own "
        "background: the value that surrounds it, else the lowest one in CT, which is air, and 0 in other images.",
    )
    labels: str = option("", "Label map to move by nearest neighbour.")
    moved_labels: str = option("", "Output file of the moved label map.")
    points: str = option("", "Landmarks in millimetres: a table with columns x, y, z, or Slicer's .fcsv or .mrk.json.")
    moved_points: str = option("", "Output file of the moved landmarks, of the kind of --points.")
    points_convention: str = option(
        "RAS",
        "World axes of both tables: RAS as in NIfTI and FreeSurfer, LPS as in ITK, ANTs and DICOM. Slicer's files "
        "state their own.",
        choices=CONVENTIONS,
    )
    points_follow_image: bool = option(
        False,
        "Move landmarks of the moving image as its voxels move. Otherwise landmarks of the fixed image go through the "
        "transform as it is stored, as in antsApplyTransformsToPoints.",
    )


def apply_files(config: ApplyConfig) -> None:
    """Move image, labels and landmarks, each by one interpolation however many transforms there are.

    Raises:
        InputError: input that cannot be used, a transform of another image, or a place that cannot be written.
    """
    _check(config)
    path, read = _moving_file(config)
    transform, fixed, moving = read_chain(
        config.transforms, fixed=config.reference, moving=path, format=config.transform_format, read_moving=read
    )
    if fixed is not None and moving is not None and (config.image or config.labels):
        check_belongs(transform, fixed.grid, ", ".join(config.transforms))
        _move_images(config, transform, fixed, moving)
    if config.points:
        _move_points(config, transform)
    logging.info("Written: %s", ", ".join(getattr(config, output) for _, output in PAIRS if getattr(config, output)))


def _moving_file(config: ApplyConfig) -> tuple[str, Callable[..., Volume]]:
    """(path of the transforms' moving image, function that reads it); the path is "" if no file can stand for it."""
    if config.labels and not (config.moving or config.image):
        return config.labels, read_labels
    return config.moving or config.image, read_series


def _move_images(config: ApplyConfig, transform: Transform, fixed: SpatialImage, moving: SpatialImage) -> None:
    """Move the image and the labels, if they are given, onto the fixed image's grid."""
    files: tuple[tuple[str, Callable[..., Volume], str, str, float | None], ...] = (
        (config.image, read_series, config.moved, config.interpolation, config.fill_value),
        (config.labels, read_labels, config.moved_labels, "nearest", 0.0),
    )
    for path, read, output, interpolation, fill_value in files:
        if not path:
            continue
        source = moving if (path, read) == _moving_file(config) else read_beside(path, read, moving)
        check_axes(source, transform, config.transforms)
        # A series has one background, that of its first volume.
        fill_value = background_values(source.array[..., :1])[0] if fill_value is None else fill_value
        moved = resample(
            source.array, source.grid, fixed.grid, transform, interpolation=interpolation, fill_value=fill_value
        )
        # A series of one volume is a volume.
        moved = moved[..., 0] if moved.ndim > fixed.grid.ndim and moved.shape[-1] == 1 else moved
        write_volume(output, moved, fixed.header(), series=source.volume)


def _move_points(config: ApplyConfig, transform: Transform) -> None:
    points_mm, table = read_points(config.points, config.points_convention, ndim=transform.ndim)
    if not config.points_follow_image:
        moved = transform.map(points_mm)
    else:
        moved, residual_mm = solve_points(transform, points_mm)
        unsolved = residual_mm > unsolved_mm(transform)
        if np.any(unsolved):
            logging.warning(
                "%s: %d of %d points lie where nothing maps to; they are off by up to %.3g mm.",
                config.points, np.sum(unsolved), len(moved), residual_mm.max(),
            )  # fmt: skip
    write_points(config.moved_points, moved, config.points_convention, like=table)


def _check(config: ApplyConfig) -> None:
    if not config.transforms:
        raise InputError("transforms names at least one file.")
    for name, output in PAIRS:
        if bool(getattr(config, name)) != bool(getattr(config, output)):
            raise InputError(f"--{name} and --{output} belong together: what to move, and where to write it.")
    if not any(getattr(config, name) for name, _ in PAIRS):
        raise InputError("Nothing to move: give --image, --labels or --points.")
    if (config.image or config.labels) and not config.reference:
        raise InputError("--reference must be given: the fixed image, whose grid what is moved gets.")
    inputs = {f"--{name}": getattr(config, name) for name in ("reference", "moving", "image", "labels", "points")}
    inputs |= {f"--transforms {path}": path for path in config.transforms}
    check_distinct({f"--{output}": getattr(config, output) for _, output in PAIRS}, inputs)
    check_choices(config)
    for output in filter(None, (config.moved, config.moved_labels)):
        check_output(output)
    if config.moved_points:
        check_points_output(config.moved_points, config.points)
