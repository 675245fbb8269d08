"""Scans in memory or in a cache on disk, read once, normalised and checked."""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging

from vxm_tf.data.normalization import normalize
from vxm_tf.data.pair_grid import laid_image
from vxm_tf.data.scan_grids import labels_on_grid, scan_places
from vxm_tf.data.scan_names import Scan, listed
from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.files.volumes import check_ids, read_image, read_labels
from vxm_tf.machine import threads
from vxm_tf.spatial.grid import Grid, same_grid

CACHES = ("memory", "disk")
# An image of this many voxels or more has more different values than a segmentation has labels, as a rule.
FEW_VALUES, ENOUGH_VOXELS = 64, 10_000


class ScanStore:
    """Images of a list of scans, ready for the network.

    Args:
        scans: the scans, from `find_scans` or `read_list`.
        normalization: name of a method in `NORMALIZATIONS`.
        multichannel: whether the files' last axis holds channels.
        cache: "memory", or "disk" for sets that do not fit into memory: images are decompressed once into
            `cache_dir` and mapped from there.
        cache_dir: folder of the "disk" cache.
        progress: called with (scans read, scans in total) while reading.

    Raises:
        InputError: lists every scan that cannot be used, with the reason; also if the scans differ in
            their number of axes or channels.
    """

    def __init__(
        self,
        scans: Iterable[Scan],
        normalization: str = "percentile",
        *,
        multichannel: bool = False,
        cache: str = "memory",
        cache_dir: str | os.PathLike | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        if cache not in CACHES:
            raise InputError(f"cache is {' or '.join(map(repr, CACHES))}; got {cache!r}.")
        if cache == "disk" and cache_dir is None:
            raise InputError("A cache on disk needs a folder; give cache_dir.")
        self.scans = list(scans)
        self.normalization = normalization
        self.multichannel = multichannel
        self.cache_dir = Path(cache_dir) if cache == "disk" and cache_dir is not None else None
        self._labels: dict[int, np.ndarray] = {}
        self._brought = False
        self._doubtful: list[str] = []
        self._images = self._read_all(progress or (lambda done, total: None))
        if self._doubtful:
            logging.warning(
                "%d of %d scans hold only a few whole numbers, as masks and segmentations do, and are taken as images: "
                "%s. If they are none, say how names of images end with --image_suffix.",
                len(self._doubtful), len(self.scans), listed(sorted(self._doubtful)),
            )  # fmt: skip
        self._places = scan_places(self.scans, [image.shape[:-1] for image in self._images])
        self._grids = [place.grid for place in self._places]

    def __len__(self) -> int:
        return len(self.scans)

    def image(self, index: int) -> np.ndarray:
        """The normalised image of a scan, float32 `[*spatial, channels]`."""
        return self._images[index]

    def labels(self, index: int) -> np.ndarray | None:
        """The label map of a scan on its image's grid, int32 `[*spatial]`; None if it has none.

        A map on another grid is brought there through the headers, by nearest neighbour. Maps stay in memory after the
        first call.

        Raises:
            InputError: a map that cannot be read, holds negative ids, or cannot be laid on its image.
        """
        scan = self.scans[index]
        if scan.labels is None:
            return None
        if index not in self._labels:
            volume = read_labels(scan.labels)
            check_ids(scan.labels, volume.array)
            self._labels[index] = labels_on_grid(volume, self._places[index], self._grids[index])
            if self._labels[index] is not volume.array and not self._brought:
                self._brought = True
                logging.warning(
                    "%s lies on another grid than its image %s: brought there through the headers, by nearest "
                    "neighbour, as every other segmentation of the kind will be.",
                    scan.labels, scan.image,
                )  # fmt: skip
        return self._labels[index]

    def grid(self, index: int) -> Grid | None:
        """The grid of a scan in world space; None if its file states no position."""
        return self._grids[index]

    @property
    def named_grids(self) -> list[tuple[str, Grid | None]]:
        """Path and grid of each scan, see `grid`."""
        return [(str(scan.image), grid) for scan, grid in zip(self.scans, self._grids)]

    def spacing_mm(self, index: int) -> tuple[float, ...] | None:
        """The voxel size that a scan's file states, in millimetres; None if it states none."""
        grid = self._grids[index]
        return grid.spacing_mm if grid else self._places[index].spacing_mm

    def move(self, index: int, grid: Grid) -> None:
        """Bring a scan and its label map onto another grid, in memory.

        Args:
            index: index of a scan whose file states its position.
            grid: the new grid.
        """
        self._images[index] = laid_image(self._images[index], self._grids[index], grid)
        self._grids[index] = grid
        self._labels.pop(index, None)

    @property
    def has_labels(self) -> bool:
        """Whether every scan has a segmentation."""
        return bool(self.scans) and all(scan.labels for scan in self.scans)

    @property
    def image_shape(self) -> tuple[int | None, ...]:
        """The images' common spatial shape; None for all axes where shapes or stated grids differ."""
        shapes = self.image_shapes
        stated = [grid for grid in self._grids if grid is not None]
        alike = len(set(shapes)) == 1 and all(same_grid(grid, stated[0]) for grid in stated)
        return shapes[0] if alike else (None,) * len(shapes[0])

    @property
    def image_shapes(self) -> list[tuple[int, ...]]:
        """The spatial shape of each image."""
        return [image.shape[:-1] for image in self._images]

    @property
    def channels(self) -> int:
        """Number of channels of every image."""
        return self._images[0].shape[-1]

    def _read_all(self, progress: Callable[[int, int], object]) -> list[np.ndarray]:
        images: list[np.ndarray] = []
        errors: list[str] = []
        with ThreadPoolExecutor(max_workers=min(8, threads())) as pool:
            for index, future in enumerate([pool.submit(self._read, i) for i in range(len(self.scans))]):
                try:
                    images.append(future.result())
                except InputError as error:
                    errors.append(str(error))
                progress(index + 1, len(self.scans))
        if errors:
            more = [f"... and {len(errors) - 20} more."] if len(errors) > 20 else []
            raise InputError("\n".join(errors[:20] + more))
        kinds = {(image.ndim - 1, image.shape[-1]): scan.image for scan, image in zip(self.scans, images)}
        if len(kinds) > 1:
            listed = "; ".join(f"{path} is {n}-D with {c} channel(s)" for (n, c), path in kinds.items())
            raise InputError(f"All images of a set have the same number of axes and channels, but {listed}.")
        return images

    def _read(self, index: int) -> np.ndarray:
        scan = self.scans[index]
        # The cache needs the status of the file, which a missing file lacks; reading it raises an error that names it.
        if self.cache_dir is None or not scan.image.is_file():
            return self._load(index)
        status = scan.image.stat()
        identity = (scan.image.resolve(), status.st_mtime_ns, status.st_size, self.normalization, self.multichannel)
        cached = self.cache_dir / f"{hashlib.sha256(str(identity).encode()).hexdigest()[:32]}.npy"
        if not cached.exists():
            image = self._load(index)
            replace_atomically(cached, lambda temporary: np.save(temporary, image))
        return np.load(cached, mmap_mode="r", allow_pickle=False)

    def _load(self, index: int) -> np.ndarray:
        image = read_image(self.scans[index].image, multichannel=self.multichannel)
        if _resembles_labels(image.array):
            self._doubtful.append(self.scans[index].name)
        return normalize(image.array, self.normalization)


def _resembles_labels(image: np.ndarray) -> bool:
    values = image.reshape(-1)[:: max(1, image.size // 200_000)]
    if len(values) < ENOUGH_VOXELS or not np.array_equal(values, np.rint(values)):
        return False
    return len(np.unique(values)) <= FEW_VALUES
