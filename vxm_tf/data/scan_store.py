"""Scans in memory or in a cache on disk, read once, normalised and checked."""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vxm_tf.data.catalogue import Scan
from vxm_tf.data.normalization import normalize
from vxm_tf.files.atomic import replace_atomically
from vxm_tf.files.errors import InputError
from vxm_tf.files.volumes import check_ids, read_image, read_labels
from vxm_tf.machine import threads

CACHES = ("memory", "disk")


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
        self._images = self._read_all(progress or (lambda done, total: None))

    def __len__(self) -> int:
        return len(self.scans)

    def image(self, index: int) -> np.ndarray:
        """The normalised image of a scan, float32 `[*spatial, channels]`."""
        return self._images[index]

    def labels(self, index: int) -> np.ndarray | None:
        """The label map of a scan, int32 `[*spatial]`, or None if it has none; kept in memory after the first call.

        Raises:
            InputError: a map that cannot be read, holds negative ids, or has another shape than its image.
        """
        scan = self.scans[index]
        if scan.labels is None:
            return None
        if index not in self._labels:
            labels = read_labels(scan.labels).array
            check_ids(scan.labels, labels)
            if labels.shape != self.image(index).shape[:-1]:
                raise InputError(
                    f"{scan.labels}: the segmentation has shape {labels.shape}, its image {scan.image} has "
                    f"{self.image(index).shape[:-1]}. They must share one grid."
                )
            self._labels[index] = labels
        return self._labels[index]

    @property
    def has_labels(self) -> bool:
        """Whether every scan has a segmentation."""
        return bool(self.scans) and all(scan.labels for scan in self.scans)

    @property
    def image_shape(self) -> tuple[int | None, ...]:
        """The images' common spatial shape; None for all axes where shapes differ."""
        shapes = {image.shape[:-1] for image in self._images}
        return shapes.pop() if len(shapes) == 1 else (None,) * (self._images[0].ndim - 1)

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
        return normalize(image.array, self.normalization)
