"""Transforms in several files read as one, with the images at both ends."""

from vxm_tf.files.errors import InputError
from vxm_tf.files.volumes import read_series
from vxm_tf.spatial.image import read_together
from vxm_tf.spatial.transform_files import read_transform
from vxm_tf.spatial.transforms import Chain


def read_chain(paths, *, fixed="", moving="", format="", read_moving=read_series):
    """(transform from fixed to moving space, fixed `SpatialImage` or None, moving one or None), see `read_together`.

    Args:
        paths: transforms in the order in which an image goes through them.
        fixed, moving: images, "" where there is none.
        format: of the files; by extension and content if empty.
        read_moving: from a path to the moving image's `Volume`.

    Raises:
        InputError: a file that cannot be read, several of a format that needs the grids between them, or an image with
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
    """Raise `InputError` unless an image has as many axes as a transform, which is that of some files."""
    if image.grid.ndim != transform.ndim:
        raise InputError(
            f"{image.name}: has {image.grid.ndim} axes, but {', '.join(paths)} moves images with {transform.ndim}."
        )
