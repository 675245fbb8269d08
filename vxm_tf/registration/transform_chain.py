"""Several transforms in files as one, and transforms turned round."""

import dataclasses

from absl import logging

from vxm_tf.files.volumes import VolumeError, read_series
from vxm_tf.spatial import Chain, DisplacementField
from vxm_tf.spatial.headers import grid_of
from vxm_tf.spatial.inversion import inverse
from vxm_tf.spatial.transform_files import check_belongs, check_transform_output, read_transform, write_transform
from vxm_tf.spatial.transforms import flattened, is_affine


@dataclasses.dataclass(frozen=True)
class ComposeConfig:
    """Settings of `compose_files`; `vxm-compose` has one flag for each.

    Attributes:
        transforms: files, in the order in which an image goes through them.
        transform_format: of all of them; by extension and content if empty.
        fixed: image in whose space the last one ends; its grid is the written field's.
        moving: image in whose space the first one starts, for formats whose numbers depend on its grid (FSL,
            FreeSurfer).
        output: where the one transform goes.
        output_format: of it; by extension if empty.
    """

    transforms: tuple[str, ...] = ()
    transform_format: str = ""
    fixed: str = ""
    moving: str = ""
    output: str = ""
    output_format: str = ""


@dataclasses.dataclass(frozen=True)
class InvertConfig:
    """Settings of `invert_file`; `vxm-invert` has one flag for each.

    Attributes:
        transform: file of the transform that carries images from moving to fixed.
        transform_format: of it; by extension and content if empty.
        moving: the moving image; its grid is the inverse's.
        fixed: the fixed image, for formats whose numbers depend on its grid (FSL).
        output: where the transform goes that carries images from fixed to moving.
        output_format: of it; by extension if empty.
    """

    transform: str = ""
    transform_format: str = ""
    moving: str = ""
    fixed: str = ""
    output: str = ""
    output_format: str = ""


def read_chain(paths, *, fixed="", moving="", format=""):
    """(transform from fixed to moving space, fixed `Volume` or None, moving `Volume` or None).

    Args:
        paths: transforms in the order in which an image goes through them.
        fixed, moving: images, "" where there is none.
        format: of the files; by extension and content if empty.

    Raises:
        VolumeError: a file that cannot be read, or several of a format that needs the grids between them.
    """
    volumes = [read_series(path) if path else None for path in (fixed, moving)]
    grids = [volume and grid_of(volume) for volume in volumes]
    parts = []
    for number, path in enumerate(paths):
        # The image between two transforms is not known, so only the outer ends of the chain have grids.
        ends = {
            "fixed_grid": grids[0] if number == len(paths) - 1 else None,
            "moving_grid": grids[1] if number == 0 else None,
        }
        parts.append(read_transform(path, format=format or None, **ends))
    # Points go the other way: from the fixed space through the last transform first.
    return (parts[0] if len(parts) == 1 else Chain(tuple(reversed(parts)))), *volumes


def compose_files(config):
    """Write several transforms as one.

    Raises:
        VolumeError: input that cannot be used, or a place that cannot be written.
    """
    transform, fixed, moving = read_chain(
        config.transforms, fixed=config.fixed, moving=config.moving, format=config.transform_format
    )
    _check_output(config, transform)
    check_belongs(transform, grid_of(fixed), ", ".join(config.transforms))
    moving_grid = moving and grid_of(moving)
    kind = config.output_format or None
    write_transform(config.output, transform, grid_of(fixed), format=kind, moving_grid=moving_grid)
    logging.info("Written: %s, %d transforms in one.", config.output, len(config.transforms))
    return transform


def invert_file(config):
    """Write the inverse of a transform, and say how well it holds.

    Returns:
        The `Inversion`, or None for an affine transform, whose inverse is exact.

    Raises:
        VolumeError: input that cannot be used, or a place that cannot be written.
    """
    transform, fixed, moving = read_chain(
        (config.transform,), fixed=config.fixed, moving=config.moving, format=config.transform_format
    )
    _check_output(config, transform)
    grid = grid_of(moving)
    if not _meets(transform, fixed, grid):
        raise VolumeError(
            f"{config.transform}: maps its whole field of view outside {config.moving}. Is this its moving image?"
        )
    turned, inversion = inverse(transform, grid)
    fixed_grid = fixed and grid_of(fixed)
    write_transform(config.output, turned, grid, format=config.output_format or None, moving_grid=fixed_grid)
    if inversion is None:
        logging.info("Written: %s, the exact inverse of an affine transform.", config.output)
        return None
    logging.info(
        "Written: %s. Residual: mean %.2g mm, largest %.2g mm; %.4f %% of the voxels above 0.1 mm.",
        config.output, inversion.mean_residual_mm, inversion.max_residual_mm, 100 * inversion.unsolved,
    )  # fmt: skip
    return inversion


def _check_output(config, transform):
    check_transform_output(config.output, config.output_format or None, transform.ndim, affine=is_affine(transform))


def _meets(transform, fixed, grid):
    """Whether some point of the transform's own field, or of the fixed image, maps into the grid."""
    first = flattened(transform)[0]
    start = first.grid if isinstance(first, DisplacementField) else (fixed and grid_of(fixed))
    if not start:
        return True
    return bool(grid.contains(transform.map(start.sample_points())).any())
