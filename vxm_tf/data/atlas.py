"""The image that every scan is registered to, on the grid of the scans."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from absl import logging

from vxm_tf.data.pair_grid import atlas_grid, check_common_place
from vxm_tf.data.scan_names import Scan
from vxm_tf.data.scan_store import ScanStore
from vxm_tf.spatial.grid import Grid, same_grid


@dataclasses.dataclass(frozen=True, eq=False)
class Atlas:
    """An atlas in memory.

    Attributes:
        image: normalised image, float32 `[*spatial, channels]`.
        labels: label map, int32 `[*spatial]`, or None.
        grid: grid in world space, or None if the file states no position.
        spacing_mm: voxel size along each axis, or None if the file states none.
        name: its path, for messages.
    """

    image: np.ndarray
    labels: np.ndarray | None = None
    grid: Grid | None = None
    spacing_mm: tuple[float, ...] | None = None
    name: str = "the atlas"


def open_atlas(scan: Scan, store: ScanStore) -> Atlas:
    """Read an atlas and bring it onto the grid of the scans, see `place_atlas`.

    Raises:
        InputError: an atlas or a segmentation of it that cannot be used.
    """
    own = ScanStore([scan], store.normalization, multichannel=store.multichannel)
    place_atlas(own, 0, store.named_grids)
    return Atlas(own.image(0), own.labels(0), own.grid(0), own.spacing_mm(0), str(scan.image))


def place_atlas(store: ScanStore, index: int, scans: Sequence[tuple[str, Grid | None]]) -> None:
    """Bring an atlas onto the grid of the scans through the headers, with one line in the log; see `atlas_grid`.

    Args:
        store: the store that holds the atlas.
        index: index of the atlas in the store.
        scans: name and grid of each scan.

    Raises:
        InputError: an atlas that has no common place with a scan in world space.
    """
    own = store.grid(index)
    grid = atlas_grid(own, [grid for _, grid in scans])
    if own is None or grid is None or same_grid(own, grid):
        return
    for scan in scans:
        check_common_place([(str(store.scans[index].image), own), scan])
    logging.info(
        "%s lies on another grid than the scans: brought onto theirs (%s voxels, %s) through the headers.",
        store.scans[index].image, " x ".join(map(str, grid.shape)), grid.orientation,
    )  # fmt: skip
    store.move(index, grid)
