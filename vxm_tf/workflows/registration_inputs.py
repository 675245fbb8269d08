"""The inputs of a registration: two images, their masks, and labels and landmarks of the moving image."""

import dataclasses

import numpy as np

from vxm_tf.files.errors import InputError
from vxm_tf.models import RegistrationNetwork, input_settings
from vxm_tf.registration import RegistrationSettings
from vxm_tf.registration.working_images import Masks
from vxm_tf.spatial import SpatialImage
from vxm_tf.spatial.headers import check_axial
from vxm_tf.spatial.points import PointFile, read_points
from vxm_tf.spatial.sources import LabelSource, Source, labels_on, open_pair
from vxm_tf.trust.uncertainty.pair_spread import is_calibrated
from vxm_tf.workflows.brain_mask import brain_mask
from vxm_tf.workflows.register_config import RegisterConfig


@dataclasses.dataclass(frozen=True, eq=False)
class MovedAlong:
    """Labels and landmarks that move with the moving image.

    Attributes:
        labels: segmentation of the moving image, integers `[*spatial]`; None without one.
        points_mm: landmarks of the moving image, `[points, ndim]` in world millimetres (RAS); None without any.
        table: table that holds the landmarks, from which the moved table is written; None without one.
    """

    labels: np.ndarray | None = None
    points_mm: np.ndarray | None = None
    table: PointFile | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class RegistrationInputs:
    """Two images and their masks.

    Attributes:
        moving: image to move.
        fixed: image to align the moving image with.
        masks: masks of the moving and of the fixed image, bool `[*spatial]`; None for the whole image.
    """

    moving: SpatialImage
    fixed: SpatialImage
    masks: Masks = (None, None)


def read_inputs(
    moving: Source,
    fixed: Source,
    network: RegistrationNetwork | None = None,
    *,
    moving_mask: LabelSource | None = None,
    fixed_mask: LabelSource | None = None,
    strip_command: str = "",
    config: RegisterConfig | None = None,
) -> RegistrationInputs:
    """Read two images and their masks.

    Args:
        moving: image to move.
        fixed: image to align the moving image with.
        network: the network that will register them, whose metadata state whether images have channels; None without
            one.
        moving_mask: mask of the moving image; None for none.
        fixed_mask: mask of the fixed image; None for none.
        strip_command: command that writes a mask for an image without one, see `brain_mask`.
        config: files of the registration; output transforms are refused here if their format cannot hold those of such
            2-D images.

    Raises:
        InputError: an unusable image or mask.
    """
    first, second = open_pair(moving, fixed, multichannel=is_multichannel(network))
    if config is not None:
        check_planes(config, first, second)
    masks = (brain_mask(first, moving_mask, strip_command), brain_mask(second, fixed_mask, strip_command))
    return RegistrationInputs(first, second, masks)


def check_planes(config: RegisterConfig, moving: SpatialImage, fixed: SpatialImage) -> None:
    """Raise `InputError` if a transform between slices is to be written that lie in no axial plane.

    Args:
        config: files of the registration.
        moving: the moving image.
        fixed: the fixed image.
    """
    for path, image in ((config.transform, fixed), (config.inverse_transform, moving)):
        if path and image.volume:
            check_axial(image.volume, path)


def read_along(
    moving: SpatialImage, labels: LabelSource | None, points: str | None, convention: str = "RAS"
) -> MovedAlong:
    """Read a segmentation and landmarks of the moving image.

    Args:
        moving: the moving image.
        labels: its segmentation; None for none.
        points: path of a table of landmarks, see `read_points`; None for none.
        convention: world axes of the table's numbers, "RAS" or "LPS".

    Raises:
        InputError: an unusable file, or a segmentation on another grid.
    """
    found = MovedAlong() if labels is None else MovedAlong(labels=labels_on(moving, labels))
    if points:
        points_mm, table = read_points(points, convention, ndim=moving.grid.ndim)
        found = dataclasses.replace(found, points_mm=points_mm, table=table)
    return found


def is_multichannel(network: RegistrationNetwork | None) -> bool:
    """Whether the last axis of a network's images is channels."""
    return network is not None and bool(input_settings(network)["multichannel"])


def check_calibrated(network: RegistrationNetwork | None, settings: RegistrationSettings, model: str) -> None:
    """Raise `InputError` if an error bound is requested without a calibration that covers it.

    Args:
        network: network that registers; None without one.
        settings: settings of the registration.
        model: the user's name for the network.
    """
    if not settings.error_bound:
        return
    if settings.refine > 0:
        raise InputError("--error_bound is what the network alone was calibrated for; leave --refine out.")
    if network is None:
        raise InputError("--error_bound is for a network that vxm-calibrate has measured; name it with --model.")
    if not is_calibrated(network):
        raise InputError(
            f"--error_bound: {model} does not know how large its errors are. Calibrate it: vxm-calibrate "
            f"--model {model} --output CALIBRATED.keras, then --model CALIBRATED.keras."
        )
