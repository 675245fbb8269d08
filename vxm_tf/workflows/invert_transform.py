"""Inversion of a transform of any tool."""

import dataclasses

from absl import logging

from vxm_tf.configuration import described, option
from vxm_tf.files.errors import InputError
from vxm_tf.spatial import DisplacementField, Grid, Inversion, SpatialImage
from vxm_tf.spatial.chain_files import read_chain
from vxm_tf.spatial.inversion import inverse
from vxm_tf.spatial.transform_files import FORMATS, write_transform
from vxm_tf.spatial.transforms import Transform, flattened
from vxm_tf.workflows.transform_output import check_inputs, check_output_format


@described
@dataclasses.dataclass(frozen=True)
class InvertConfig:
    """Settings of `invert_file`; `vxm-invert` has one flag for each."""

    transform: str = option("", "File of the transform that carries images from moving to fixed.")
    transform_format: str = option(
        "", "Format of the transform file; empty chooses by extension and content.", choices=("", *FORMATS)
    )
    moving: str = option("", "Moving image, on whose grid the inverse is written.")
    fixed: str = option("", "Fixed image, for formats whose numbers depend on its grid (FSL).")
    output: str = option("", "Output file of the transform that carries images from fixed to moving.")
    output_format: str = option("", "Format of the output; empty chooses by extension.", choices=("", *FORMATS))


def invert_file(config: InvertConfig) -> Inversion | None:
    """Write the inverse of a transform, and log its residual.

    Returns:
        The `Inversion` with its residual, or None for an affine transform, whose inverse is exact.

    Raises:
        InputError: input that cannot be used, or a place that cannot be written.
    """
    check_inputs(config, {"--transform": config.transform})
    transform, fixed, moving = read_chain(
        (config.transform,), fixed=config.fixed, moving=config.moving, format=config.transform_format
    )
    if moving is None:
        raise InputError("--moving must be given: the image whose grid the inverse gets.")
    check_output_format(config, transform)
    grid = moving.grid
    if not _meets(transform, fixed, grid):
        raise InputError(
            f"{config.transform}: maps its whole field of view outside {config.moving}. Is this its moving image?"
        )
    turned, inversion = inverse(transform, grid)
    fixed_grid = None if fixed is None else fixed.grid
    write_transform(config.output, turned, grid, format=config.output_format or None, moving_grid=fixed_grid)
    if inversion is None:
        logging.info("Written: %s, the exact inverse of an affine transform.", config.output)
        return None
    logging.info(
        "Written: %s. Residual: mean %.2g mm, largest %.2g mm; %.4f %% of the voxels unsolved.",
        config.output, inversion.mean_residual_mm, inversion.max_residual_mm, 100 * inversion.unsolved,
    )  # fmt: skip
    return inversion


def _meets(transform: Transform, fixed: SpatialImage | None, grid: Grid) -> bool:
    """Whether some point of the transform's first field, or of the fixed image, maps into the grid."""
    first = flattened(transform)[0]
    if isinstance(first, DisplacementField):
        start = first.grid
    elif fixed is not None:
        start = fixed.grid
    else:
        return True
    return bool(grid.contains(transform.map(start.sample_points())).any())
