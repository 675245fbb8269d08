"""Composition of several transforms, of any tool, into one."""

import dataclasses

from absl import logging

from vxm_tf.configuration import described, option
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.chain_files import read_chain
from vxm_tf.spatial.transform_files import FORMATS, check_belongs, write_transform
from vxm_tf.spatial.transforms import Transform
from vxm_tf.workflows.transform_output import check_inputs, check_output_format


@described
@dataclasses.dataclass(frozen=True)
class ComposeConfig:
    """Settings of `compose_files`; `vxm-compose` has one flag for each."""

    transforms: tuple[str, ...] = option(
        (), "Transform files with commas between, in the order in which an image goes through them."
    )
    transform_format: str = option(
        "", "Format of all transform files; empty chooses by extension and content.", choices=("", *FORMATS)
    )
    fixed: str = option(
        "", "Image in whose space the last transform ends; its grid becomes the grid of the written displacement."
    )
    moving: str = option(
        "",
        "Image in whose space the first transform starts, for formats whose numbers depend on its grid (FSL, "
        "FreeSurfer).",
    )
    output: str = option("", "Output file of the composed transform.")
    output_format: str = option("", "Format of the output; empty chooses by extension.", choices=("", *FORMATS))


def compose_files(config: ComposeConfig) -> Transform:
    """Write several transforms as one; return it.

    Raises:
        InputError: input that cannot be used, or a place that cannot be written.
    """
    check_inputs(config, {f"--transforms {path}": path for path in config.transforms})
    transform, fixed, moving = read_chain(
        config.transforms, fixed=config.fixed, moving=config.moving, format=config.transform_format
    )
    if fixed is None:
        raise InputError("--fixed must be given: the image in whose space the last transform ends.")
    check_output_format(config, transform)
    check_belongs(transform, fixed.grid, ", ".join(config.transforms))
    moving_grid = None if moving is None else moving.grid
    kind = config.output_format or None
    write_transform(config.output, transform, fixed.grid, format=kind, moving_grid=moving_grid)
    logging.info("Written: %s, %d transforms in one.", config.output, len(config.transforms))
    return transform
