"""Label maps of different people in one frame, to be sampled anywhere."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy import ndimage

from vxm_tf.files.errors import InputError
from vxm_tf.files.placement import orientation_of
from vxm_tf.files.volumes import EXTENSIONS, extension, read_labels

# Beyond the brain: SynthSeg's numbers for skull, scalp, eyes and the like; and FreeSurfer's for the fluid around it.
FIRST_OUTSIDE, FLUID = 500, 24

# Fewer voxels than these make no reliable centre.
MIN_LABEL_VOXELS = 20


def find_label_maps(directory) -> list[Path]:
    """All volumes below a folder, in order of their names; each is a label map, an NPZ by its `seg`.

    Raises:
        InputError: no folder, or no volume in it.
    """
    directory = Path(directory)
    files = [file for file in directory.rglob("*") if file.is_file() and extension(file) and file.name[0] != "."]
    if not files:
        what = "there is no such folder" if not directory.is_dir() else "no label map found"
        raise InputError(f"{directory}: {what}. Expected files with one of the extensions {', '.join(EXTENSIONS)}.")
    return sorted(files)


class LabelMaps:
    """Label maps, each with the affine transform that lays its structures onto the mean of all.

    Ids are those of FreeSurfer and SynthSeg: from 500 on they stand for what lies outside the brain, as 24 does, the
    fluid around it, and take no part in the transforms.

    The frame has the axes of the files, millimetres of the mean person, and its origin in the mean of the structures'
    centres. Structures that all maps hold decide the transforms, twelve parameters by least squares.

    Args:
        paths: of at least two files with label maps, with axes in one order; without a voxel size it is 1 mm.

    Attributes:
        labels: every label of any map, ascending, the first 0.
        ndim: number of axes.

    Raises:
        InputError: files that cannot be read, differ in their axes, or share fewer structures than an affine
            transform needs.
    """

    def __init__(self, paths):
        self.paths = list(paths)
        if len(self.paths) < 2:
            raise InputError(f"Two label maps or more are needed to make pairs of people; got {len(self.paths)}.")
        with ThreadPoolExecutor(4) as pool:
            maps, spacings = zip(*pool.map(_read, self.paths))
        axes = {(m.ndim, orientation_of(path, m.ndim)) for m, path in zip(maps, self.paths)}
        if len(axes) > 1:
            raise InputError(
                f"Label maps have their axes in one order, but these differ: {', '.join(sorted(map(str, axes)))}. "
                "Bring them into one orientation first."
            )
        self.ndim = maps[0].ndim
        present = sum(np.bincount(m.ravel(), minlength=2**16) for m in maps) > 0
        present[0] = True
        self.labels = np.flatnonzero(present)
        if len(self.labels) > 256:
            raise InputError(f"At most 256 labels can be told apart here; these maps hold {len(self.labels)}.")
        # Small numbers: half the memory again, and a table of intensities can be looked up by them.
        table = (np.cumsum(present) - 1).astype("uint8")
        self._maps = [table[m] for m in maps]
        inside = (self.labels > 0) & (self.labels < FIRST_OUTSIDE) & (self.labels != FLUID)
        self._from_frame = _common_frame(self._maps, spacings, np.flatnonzero(inside), self.paths)

    def __len__(self):
        return len(self._maps)

    def sample(self, index: int, points_mm) -> np.ndarray:
        """Indices into `labels` at points of the frame, by nearest neighbour; the first label beyond the map.

        Args:
            index: which map.
            points_mm: `[*any, ndim]`, millimetres of the frame.

        Returns:
            uint8 `[*any]`.
        """
        linear, offset = self._from_frame[index]
        voxels = np.moveaxis(points_mm @ linear.T.astype("float32") + offset.astype("float32"), -1, 0)
        return ndimage.map_coordinates(self._maps[index], voxels, order=0, mode="constant", cval=0)


def _read(path):
    """(label map in 16 bits, voxel size or None)."""
    volume = read_labels(path)
    low, high = int(volume.array.min()), int(volume.array.max())
    if low < 0 or high >= 2**16:
        raise InputError(f"{path}: labels are numbers from 0 to 65535; this map holds {low} to {high}.")
    return volume.array.astype("uint16"), volume.spacing_mm


def _common_frame(maps, spacings, candidates, paths):
    """For each map (linear part, offset) from millimetres of the frame to its voxels."""
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


def _centres(labels, chosen):
    """Centre of each label, `[len(chosen), ndim]`, in voxels; each looked for in its own box."""
    boxes = ndimage.find_objects(labels)
    centres = []
    for label in chosen:
        box = boxes[label - 1]
        inside = np.argwhere(labels[box] == label)
        centres.append(inside.mean(axis=0) + [part.start for part in box])
    return np.array(centres)
