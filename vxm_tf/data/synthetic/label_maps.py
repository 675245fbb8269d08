"""Label maps of different people, aligned in one frame and sampled at any points."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging
from scipy import ndimage

from vxm_tf.data.file_kinds import says_segmentation
from vxm_tf.data.scan_files import check_links, folder_content
from vxm_tf.files.errors import InputError
from vxm_tf.files.extensions import EXTENSIONS, extension
from vxm_tf.files.placement import orientation_of
from vxm_tf.files.volumes import read_labels
from vxm_tf.machine import threads

# SynthSeg's first id of structures outside the brain (skull, scalp, eyes), and FreeSurfer's id of the fluid around it.
FIRST_OUTSIDE, FLUID = 500, 24

# The centre of a label with fewer voxels is not reliable.
MIN_LABEL_VOXELS = 20


def find_label_maps(directory: str | os.PathLike) -> list[Path]:
    """All label maps below a folder, in order of their names; links to folders are followed.

    Where some names or folders say that they are segmentations, such as `_seg` or `labelsTr`, the other files are left
    out, but for NPZ; else every volume holds a label map. An NPZ holds it under `seg`.

    Raises:
        InputError: no folder, no volume in it, or a link that leads to nothing.
    """
    directory = Path(directory)
    content = folder_content(directory)
    check_links(content.dangling)
    if not content.files:
        raise InputError(
            f"{directory}: no label map found. Expected files with one of the extensions {', '.join(EXTENSIONS)}."
        )
    named = {file for file in content.files if says_segmentation(file.relative_to(directory))}
    chosen = [file for file in content.files if file in named or extension(file) == ".npz"] if named else content.files
    if len(chosen) < len(content.files):
        logging.info(
            "%s: %d label maps; left out: %d other volumes.", directory, len(chosen), len(content.files) - len(chosen)
        )
    return chosen


class LabelMaps:
    """Label maps, each with the affine transform that aligns its structures with their mean over all maps.

    Ids are those of FreeSurfer and SynthSeg. Ids from 500 on and 24 stand for structures outside the brain and for the
    fluid around it; the transforms ignore them.

    The common frame has the axes of the files, is in millimetres of the mean person, and has its origin at the mean of
    the structures' centres. Each transform is fitted by least squares to the centres of the structures that all maps
    hold.

    Args:
        paths: at least two files with label maps whose axes have one order; a file without voxel size counts as 1 mm.

    Attributes:
        paths: the files.
        labels: ids that are present in any map, ascending, int64; the first is 0.
        ndim: number of axes.

    Raises:
        InputError: files that cannot be read, differ in their axes, or share fewer structures than an affine
            transform needs.
    """

    def __init__(self, paths: Iterable[str | os.PathLike]) -> None:
        self.paths = list(paths)
        if len(self.paths) < 2:
            raise InputError(f"Two label maps or more are needed to make pairs of people; got {len(self.paths)}.")
        with ThreadPoolExecutor(min(4, threads())) as pool:
            maps, spacings = zip(*pool.map(_read, self.paths))
        axes = {(m.ndim, orientation_of(path, m.ndim)) for m, path in zip(maps, self.paths)}
        if len(axes) > 1:
            raise InputError(
                f"Label maps have their axes in one order, but these differ: {', '.join(sorted(map(str, axes)))}. "
                "Bring them into one orientation first."
            )
        self.ndim = maps[0].ndim
        present = np.sum([np.bincount(m.ravel(), minlength=2**16) for m in maps], axis=0) > 0
        present[0] = True
        self.labels = np.flatnonzero(present)
        if len(self.labels) > 256:
            raise InputError(f"At most 256 labels can be told apart here; these maps hold {len(self.labels)}.")
        # Indices into `labels` take half the memory of ids, and look up intensities in a table.
        table = (np.cumsum(present) - 1).astype("uint8")
        self._maps = [table[m] for m in maps]
        inside = (self.labels > 0) & (self.labels < FIRST_OUTSIDE) & (self.labels != FLUID)
        self._from_frame = _common_frame(self._maps, spacings, np.flatnonzero(inside), self.paths)

    def __len__(self) -> int:
        return len(self._maps)

    def sample(self, index: int, points_mm: np.ndarray) -> np.ndarray:
        """Indices into `labels` at points of the common frame, by nearest neighbour; 0 beyond the map.

        Args:
            index: index of the map.
            points_mm: `[*any, ndim]`, in millimetres of the common frame.

        Returns:
            uint8 `[*any]`.
        """
        linear, offset = self._from_frame[index]
        voxels = np.moveaxis(points_mm @ linear.T.astype("float32") + offset.astype("float32"), -1, 0)
        return ndimage.map_coordinates(self._maps[index], voxels, order=0, mode="constant", cval=0)


def _read(path: str | os.PathLike) -> tuple[np.ndarray, tuple[float, ...] | None]:
    """(label map in 16 bits, voxel size in millimetres or None)."""
    volume = read_labels(path)
    low, high = int(volume.array.min()), int(volume.array.max())
    if low < 0 or high >= 2**16:
        raise InputError(f"{path}: labels are numbers from 0 to 65535; this map holds {low} to {high}.")
    return volume.array.astype("uint16"), volume.spacing_mm


def _common_frame(
    maps: Sequence[np.ndarray],
    spacings: Sequence[tuple[float, ...] | None],
    candidates: np.ndarray,
    paths: Sequence[str | os.PathLike],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(linear part, offset) for each map, from millimetres of the common frame to the map's voxels."""
    ndim = maps[0].ndim
    sizes = np.stack([np.bincount(m.ravel(), minlength=256) for m in maps])
    shared = [label for label in candidates if sizes[:, label].min() >= MIN_LABEL_VOXELS]
    if len(shared) < 2 * (ndim + 1):
        raise InputError(
            f"{paths[0]} and the other label maps share {len(shared)} structures of {MIN_LABEL_VOXELS} voxels or more; "
            f"{2 * (ndim + 1)} are needed to lay them onto each other. Ids from {FIRST_OUTSIDE} on, and {FLUID}, do "
            "not count: they stand for what surrounds a brain."
        )
    centres = np.stack([_centres(m, shared) for m in maps])
    in_mm = centres * [[spacing or (1.0,) * ndim] for spacing in spacings]
    mean = (in_mm - in_mm.mean(axis=1, keepdims=True)).mean(axis=0)
    weights = np.sqrt(np.sqrt(sizes[:, shared].mean(axis=0)))[:, None]
    design = np.concatenate([mean, np.ones((len(shared), 1))], axis=1)
    fits = [np.linalg.lstsq(design * weights, c * weights, rcond=None)[0] for c in centres]
    return [(fit[:ndim].T, fit[ndim]) for fit in fits]


def _centres(labels: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Centre of each chosen label, `[len(chosen), ndim]`, in voxels."""
    boxes = ndimage.find_objects(labels)
    centres = []
    for label in chosen:
        box = boxes[label - 1]
        inside = np.argwhere(labels[box] == label)
        centres.append(inside.mean(axis=0) + [part.start for part in box])
    return np.array(centres)
