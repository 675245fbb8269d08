"""The check that two images overlap in world space."""

from collections.abc import Iterable

import numpy as np
from absl import logging

from vxm_tf.files.errors import InputError
from vxm_tf.spatial import AffineTransform, SpatialImage
from vxm_tf.spatial.working_grid import content_box

FAR_APART_MM = 30.0
SMALL_OVERLAP = 0.25


def check_overlap(
    moving: SpatialImage, fixed: SpatialImage, affine: AffineTransform, *, warn_of_distance: bool
) -> None:
    """Raise `InputError` if two images do not overlap in world space; warn if they overlap little.

    Args:
        moving: image to move.
        fixed: image to align it with.
        affine: affine part of the transform, from fixed to moving space.
        warn_of_distance: also warn if the contents of the two images lie far apart, since no affine search follows.
    """
    inside = moving.grid.contains(affine.map(fixed.grid.sample_points())).mean()
    advice = " Align them first with --affine register." if warn_of_distance else ""
    if inside == 0:
        raise InputError(
            f"{moving.name} and {fixed.name} have no common place in world space: their fields of view are centred at "
            f"{_rounded(moving.grid.centre_mm)} and {_rounded(fixed.grid.centre_mm)} mm.{advice}"
        )
    if inside < SMALL_OVERLAP:
        logging.warning(
            "Only %.0f %% of the field of view of %s lies within %s.%s", 100 * inside, fixed.name, moving.name, advice
        )
    if warn_of_distance:
        apart = np.linalg.norm(_content_centre(moving) - _content_centre(fixed))
        if apart > FAR_APART_MM:
            logging.warning(
                "The contents of the two images are centred %.0f mm apart; if the result is poor, use --affine "
                "register.",
                apart,
            )


def _content_centre(image: SpatialImage) -> np.ndarray:
    """Centre of the box around the image's content, in world millimetres, `[ndim]`."""
    return image.grid.to_world(np.mean(content_box(image.array), axis=1))


def _rounded(point: Iterable[float]) -> str:
    return "(" + ", ".join(f"{value:.0f}" for value in point) + ")"
