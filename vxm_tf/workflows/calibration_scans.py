"""Scans of a folder, prepared for the calibration of a network as register.py prepares them for registration."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from vxm_tf.data import Scan, find_scans, normalize
from vxm_tf.files.errors import InputError
from vxm_tf.files.volumes import read_image
from vxm_tf.models import RegistrationNetwork
from vxm_tf.models.saved import input_settings
from vxm_tf.registration import RegistrationSettings
from vxm_tf.registration.working_images import prepared_pair
from vxm_tf.spatial import SpatialImage
from vxm_tf.spatial.grid import same_grid
from vxm_tf.spatial.headers import grid_of, says_same, stated_grid
from vxm_tf.spatial.transforms import identity
from vxm_tf.spatial.working_grid import GridSettings

# Folder of the people that a network was trained on, in a folder that is split for training.
TRAINING = "train"


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan on the grid that a network expects.

    Attributes:
        image: float32 `[*spatial, channels]`, normalised as for the network's training.
        spacing_mm: voxel size along each axis, in millimetres; empty if neither file nor network states one.
    """

    image: np.ndarray
    spacing_mm: tuple[float, ...]


def scans_to_calibrate(directory: str, count: int, *, image_suffix: str = "", labels_suffix: str = "") -> list[Scan]:
    """The first scans of a folder; those of people that a network was trained on only if there are no others.

    A network errs less on scans that it was trained on, so its calibration there promises too much.

    Args:
        directory: the folder; if it is split into `train` and others, the others are taken.
        count: largest number of scans.
        image_suffix: see `find_scans`.
        labels_suffix: see `find_scans`.

    Raises:
        InputError: no usable scan, see `find_scans`.
    """
    scans = find_scans(directory, image_suffix=image_suffix, labels_suffix=labels_suffix)
    others = [scan for scan in scans if TRAINING not in Path(scan.image).relative_to(directory).parts[:-1]]
    if others and len(others) < len(scans):
        logging.info(
            "%d scans in %s are left out: a network trained there errs less.", len(scans) - len(others), TRAINING
        )
    if not others or Path(directory).name == TRAINING:
        logging.warning(
            "The scans of %s are those of a folder named %s. On scans that the network was trained on it errs less "
            "than on others, so its error bound would promise too much; calibrate on other people.",
            directory,
            TRAINING,
        )
    return (others or scans)[:count]


def prepared_scans(scans: Sequence[Scan], network: RegistrationNetwork) -> list[PreparedScan]:
    """The scans on the grid that the network records, resampled as register.py resamples a fixed image.

    A file that states neither voxel size nor orientation counts as lying on that grid, as in training.

    Raises:
        InputError: a file that cannot be read, has other axes or channels than the network's images, or states no
            voxel size although its shape is not the recorded one.
    """
    return [_prepared(str(scan.image), network) for scan in scans]


def _prepared(path: str, network: RegistrationNetwork) -> PreparedScan:
    settings, recorded = input_settings(network), GridSettings.recorded(network.metadata)
    volume = read_image(path, multichannel=settings["multichannel"])
    shape, channels = volume.array.shape[:-1], volume.array.shape[-1]
    axes, taken = len(network.settings["image_shape"]), network.settings["channels"]
    if len(shape) != axes or {channels} != set(taken):
        raise InputError(
            f"{path} has {len(shape)} axes and {channels} channel(s); the network takes {axes} axes and "
            f"{' and '.join(map(str, taken))} channel(s)."
        )
    spacing_mm, orientation = stated_grid(path, axes)
    stated_same = spacing_mm is None or (recorded.spacing_mm is not None and says_same(spacing_mm, recorded.spacing_mm))
    if orientation is None and stated_same:
        if recorded.shape is not None and any(size not in (None, own) for size, own in zip(recorded.shape, shape)):
            raise InputError(
                f"{path} states no orientation, and its shape {shape} is not that of the network's grid, "
                f"{recorded.shape}. Give scans with a header, such as NIfTI, or on the network's grid."
            )
        return PreparedScan(normalize(volume.array, settings["normalization"]), recorded.spacing_mm or ())
    image = SpatialImage(volume.array, grid_of(volume), volume)
    prepared = prepared_pair(image, image, (None, None), network, RegistrationSettings())
    grid = prepared.working_grid()
    if not same_grid(grid, image.grid):
        logging.info(
            "%s is resampled onto the network's grid: %s voxels of %s mm.",
            path, " x ".join(map(str, grid.shape)), " x ".join(f"{size:.3g}" for size in grid.spacing_mm),
        )  # fmt: skip
    return PreparedScan(prepared.working_images(grid, identity(axes))[1], grid.spacing_mm)
