"""Places of scans and of their segmentations in world space, as their headers state them."""

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from vxm_tf.data.pair_grid import first_apart
from vxm_tf.data.scan_names import Scan
from vxm_tf.files.errors import InputError
from vxm_tf.files.placement import has_place, read_header
from vxm_tf.files.units import spacing_of_axes
from vxm_tf.files.volumes import Volume
from vxm_tf.spatial.grid import Grid, same_grid
from vxm_tf.spatial.headers import grid_of, says_same
from vxm_tf.spatial.resampling import resample


@dataclasses.dataclass(frozen=True, eq=False)
class ScanPlace:
    """Where an image lies, by its file.

    Attributes:
        path: the image's file.
        shape: its spatial shape.
        grid: its grid in world space; None if the file states no position, as NPZ never does.
        spacing_mm: its voxel size along each axis; None if the file states none.
    """

    path: Path
    shape: tuple[int, ...]
    grid: Grid | None
    spacing_mm: tuple[float, ...] | None


def scan_places(scans: Sequence[Scan], shapes: Sequence[tuple[int, ...]]) -> list[ScanPlace]:
    """The place of each scan; headers that contradict themselves are named in one line of the log.

    Args:
        scans: the scans.
        shapes: spatial shape of each image.

    Raises:
        InputError: a header that cannot be used.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        places = [_place(scan.image, shape) for scan, shape in zip(scans, shapes)]
    if caught:
        more = f" (and {len(caught) - 1} more of the kind)" if len(caught) > 1 else ""
        logging.warning("%s%s", caught[0].message, more)
    return places


def _place(path: Path, shape: tuple[int, ...]) -> ScanPlace:
    header = read_header(path, len(shape))
    if has_place(header):
        grid = Grid(shape, grid_of(header).affine)
        return ScanPlace(path, shape, grid, grid.spacing_mm)
    spacing = header.spacing_mm and spacing_of_axes(header.spacing_mm, len(shape))[: len(shape)]
    return ScanPlace(path, shape, None, spacing or None)


def labels_on_grid(volume: Volume, image: ScanPlace, grid: Grid | None) -> np.ndarray:
    """A label map on the grid of its image, int32 `[*spatial]`.

    Args:
        volume: the label map from its file.
        image: the place of its image by the image's file.
        grid: the grid to bring the map onto, which is the image's own unless the image was moved.

    Raises:
        InputError: a map without a position and of another shape or voxel size than its image, or one that lies
            elsewhere in space.
    """
    own = _grid_of_labels(volume, image)
    if own is None or grid is None or same_grid(own, grid):
        return volume.array
    if first_apart([own, grid]):
        raise InputError(
            f"{volume.path}: this segmentation and its image {image.path} have no common place in world space. Is it "
            "the segmentation of another image?"
        )
    labels = resample(volume.array, own, grid, interpolation="nearest", fill_value=0)
    lost = sorted(set(np.unique(volume.array).tolist()) - set(np.unique(labels).tolist()) - {0})
    if lost:
        logging.warning("%s: on the grid of %s, no voxel is left of labels %s.", volume.path, image.path, lost[:20])
    return labels


def _grid_of_labels(volume: Volume, image: ScanPlace) -> Grid | None:
    """The grid of a label map; that of its image where its own file or the image's file states no position."""
    if image.grid is not None and has_place(volume) and volume.array.ndim == len(image.shape):
        with warnings.catch_warnings():
            # The image's header has the same faults, and they were named when it was read.
            warnings.simplefilter("ignore")
            return grid_of(volume)
    if volume.array.shape != image.shape:
        raise InputError(
            f"{volume.path}: the segmentation has shape {volume.array.shape}, its image {image.path} has "
            f"{image.shape}. They must share one grid, because their files do not say where both lie."
        )
    spacing = volume.spacing_mm and spacing_of_axes(volume.spacing_mm, volume.array.ndim)
    if spacing and image.spacing_mm and not says_same(spacing, image.spacing_mm):
        raise InputError(
            f"{volume.path}: the segmentation has voxels of {spacing} mm, its image {image.path} of "
            f"{image.spacing_mm} mm, and their files do not say where both lie. Resample it onto the image's grid."
        )
    return image.grid
