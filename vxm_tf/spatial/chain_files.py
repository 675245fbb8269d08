"""Several transforms in files as one, and transforms turned round."""

import dataclasses

from absl import logging

from vxm_tf.files.distinct_paths import check_distinct
from vxm_tf.files.errors import VolumeError
from vxm_tf.files.volumes import read_series
from vxm_tf.spatial import Chain, DisplacementField
from vxm_tf.spatial.image import read_together
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


def read_chain(paths, *, fixed="", moving="", format="", read_moving=read_series):
    """(transform from fixed to moving space, fixed `SpatialImage` or None, moving one or None), see `read_together`.

    Args:
        paths: transforms in the order in which an image goes through them.
        fixed, moving: images, "" where there is none.
        format: of the files; by extension and content if empty.
        read_moving: from a path to the moving image's `Volume`.

    Raises:
        VolumeError: a file that cannot be read, several of a format that needs the grids between them, or an image with
            other axes than the transform.
    """
    images = read_together((moving, read_moving), (fixed, read_series))[::-1]
    grids = [image and image.grid for image in images]
    parts = []
    for number, path in enumerate(paths):
        # The image between two transforms is not known, so only the outer ends of the chain have grids.
        ends = {
            "fixed_grid": grids[0] if number == len(paths) - 1 else None,
            "moving_grid": grids[1] if number == 0 else None,
        }
        parts.append(read_transform(path, format=format or None, **ends))
    # Points go the other way: from the fixed space through the last transform first.
    transform = parts[0] if len(parts) == 1 else Chain(tuple(reversed(parts)))
    for image in filter(None, images):
        check_axes(image, transform, paths)
    return transform, *images


def check_axes(image, transform, paths):
    """Raise `VolumeError` unless an image has as many axes as a transform, which is that of some files."""
    if image.grid.ndim != transform.ndim:
        raise VolumeError(
            f"{image.name}: has {image.grid.ndim} axes, but {', '.join(paths)} moves images with {transform.ndim}."
        )


def compose_files(config):
    """Write several transforms as one.

    Raises:
        VolumeError: input that cannot be used, or a place that cannot be written.
    """
    _check_output_path(config, {f"--transforms {path}": path for path in config.transforms})
    transform, fixed, moving = read_chain(
        config.transforms, fixed=config.fixed, moving=config.moving, format=config.transform_format
    )
    _check_output(config, transform)
    check_belongs(transform, fixed.grid, ", ".join(config.transforms))
    moving_grid = moving and moving.grid
    kind = config.output_format or None
    write_transform(config.output, transform, fixed.grid, format=kind, moving_grid=moving_grid)
    logging.info("Written: %s, %d transforms in one.", config.output, len(config.transforms))
    return transform


def invert_file(config):
    """Write the inverse of a transform, and say how well it holds.

    Returns:
        The `Inversion`, or None for an affine transform, whose inverse is exact.

    Raises:
        VolumeError: input that cannot be used, or a place that cannot be written.
    """
    _check_output_path(config, {"--transform": config.transform})
    transform, fixed, moving = read_chain(
        (config.transform,), fixed=config.fixed, moving=config.moving, format=config.transform_format
    )
    _check_output(config, transform)
    grid = moving.grid
    if not _meets(transform, fixed, grid):
        raise VolumeError(
            f"{config.transform}: maps its whole field of view outside {config.moving}. Is this its moving image?"
        )
    turned, inversion = inverse(transform, grid)
    fixed_grid = fixed and fixed.grid
    write_transform(config.output, turned, grid, format=config.output_format or None, moving_grid=fixed_grid)
    if inversion is None:
        logging.info("Written: %s, the exact inverse of an affine transform.", config.output)
        return None
    logging.info(
        "Written: %s. Residual: mean %.2g mm, largest %.2g mm; %.4f %% of the voxels unsolved.",
        config.output, inversion.mean_residual_mm, inversion.max_residual_mm, 100 * inversion.unsolved,
    )  # fmt: skip
    return inversion


def _check_output_path(config, transforms):
    check_distinct({"--output": config.output}, {**transforms, "--fixed": config.fixed, "--moving": config.moving})


def _check_output(config, transform):
    check_transform_output(config.output, config.output_format or None, transform.ndim, affine=is_affine(transform))


def _meets(transform, fixed, grid):
    """Whether some point of the transform's own field, or of the fixed image, maps into the grid."""
    first = flattened(transform)[0]
    start = first.grid if isinstance(first, DisplacementField) else (fixed and fixed.grid)
    if not start:
        return True
    return bool(grid.contains(transform.map(start.sample_points())).any())
