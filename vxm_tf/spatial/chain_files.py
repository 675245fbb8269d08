"""Reading transforms from several files as one chain, with the fixed and the moving image at its ends."""

import os
from collections.abc import Callable, Sequence

from vxm_tf.files.errors import InputError
from vxm_tf.files.volumes import Volume, read_series
from vxm_tf.spatial.image import SpatialImage, read_together
from vxm_tf.spatial.transform_files import read_transform
from vxm_tf.spatial.transforms import Chain, Transform


def read_chain(
    paths: Sequence[str],
    *,
    fixed: str | os.PathLike = "",
    moving: str | os.PathLike = "",
    format: str = "",
    read_moving: Callable[..., Volume] = read_series,
) -> tuple[Transform, SpatialImage | None, SpatialImage | None]:
    """The transform in one or more files, with the images at its ends; see `read_together`.

    Args:
        paths: files of transforms, in the order in which an image goes through them.
        fixed: file of the fixed image, "" if there is none.
        moving: file of the moving image, "" if there is none.
        format: format of the files; if empty, it is chosen by extension and content.
        read_moving: function that reads the `Volume` of the moving image from its path.

    Returns:
        (transform from fixed to moving space, fixed image or None, moving image or None).

    Raises:
        InputError: a file that cannot be read, several of a format that needs the grids between them, or an image with
            another number of axes than the transform.
    """
    moving_image, fixed_image = read_together((moving, read_moving), (fixed, read_series))
    fixed_grid, moving_grid = (image.grid if image else None for image in (fixed_image, moving_image))
    parts = []
    for number, path in enumerate(paths):
        # The images between the transforms are not known, so only the ends of the chain have grids.
        part = read_transform(
            path,
            format=format or None,
            fixed_grid=fixed_grid if number == len(paths) - 1 else None,
            moving_grid=moving_grid if number == 0 else None,
        )
        parts.append(part)
    # Points go through the chain in the opposite order: they start with the transform that an image goes through last.
    transform = parts[0] if len(parts) == 1 else Chain(tuple(reversed(parts)))
    for image in filter(None, (fixed_image, moving_image)):
        check_axes(image, transform, paths)
    return transform, fixed_image, moving_image


def check_axes(image: SpatialImage, transform: Transform, paths: Sequence[str]) -> None:
    """Raise `InputError` unless an image has as many axes as the transform in the files `paths`."""
    if image.grid.ndim != transform.ndim:
        raise InputError(
            f"{image.name}: has {image.grid.ndim} axes, but {', '.join(paths)} moves images with {transform.ndim}."
        )
