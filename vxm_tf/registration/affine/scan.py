"""Scans in frames of their own, on isotropic lattices, for affine registration.

A scan is cropped to its mask, or to the object in an empty background, or not at all. Its frame has the origin in the
middle of the crop and axes along the voxels', in millimetres and RAS order. Only the voxel sizes are taken from the
header, and they are rounded: headers that differ by float32's rounding, or by the storage order of the axes, give the
same numbers and so the same registration.
"""

import dataclasses
import itertools

import numpy as np
from scipy import ndimage

from vxm_tf.spatial import Grid, reoriented

# A scan has an empty background if at least this fraction of the voxels on its border has one value.
BACKGROUND_SHARE = 0.95
# A scan is a crop if the mean intensity on each side of its field of view is at least this part of the whole mean.
CROP_SHARE = 0.5
# Intensity above which a lattice's voxel belongs to the object; smoothing and interpolation spread less than this.
BACKGROUND_LEVEL = 0.02


@dataclasses.dataclass(frozen=True)
class Scan:
    """Cropped image in RAS order, with its frame: world = centre_mm + directions @ frame.

    Attributes:
        values: intensities, float32 `[channels, *spatial]`.
        mask: voxels to compare, bool `[*spatial]`; None for all.
        steps_mm: matrix `[ndim, ndim]` whose columns are the voxel axes in the frame, rounded.
        directions: orthonormal matrix `[ndim, ndim]` whose columns are the frame's axes in the world.
        centre_mm: world position of the frame's origin.
        background: values `[channels]` that surround the object on all sides; None where the object is cut off or
            masked.
    """

    values: np.ndarray
    mask: np.ndarray | None
    steps_mm: np.ndarray
    directions: np.ndarray
    centre_mm: np.ndarray
    background: np.ndarray | None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.values.ndim - 1

    @property
    def frame_to_world(self) -> np.ndarray:
        """Matrix `[ndim + 1, ndim + 1]` from the frame to world millimetres."""
        return homogeneous(self.directions, self.centre_mm)

    @property
    def spacing_mm(self) -> float:
        """Geometric mean of the voxel sizes."""
        return float(abs(np.linalg.det(self.steps_mm)) ** (1 / self.ndim))

    @property
    def is_crop(self) -> bool:
        """Whether the scan shows a part of a larger object that goes on beyond all sides, and has no mask.

        The edges of such a scan say nothing about its position, and what lies around its object may have moved
        otherwise than the object.
        """
        if self.mask is not None or self.background is not None:
            return False
        above = self.values - self.values.min(axis=tuple(range(1, self.values.ndim)), keepdims=True)
        sides = [above.take(end, axis=axis + 1).mean() for axis in range(self.ndim) for end in (0, -1)]
        return bool(min(sides) >= CROP_SHARE * above.mean())

    def extent_mm(self) -> np.ndarray:
        """First and last corner in the frame, `[2, ndim]`, in millimetres."""
        half = (np.array(self.values.shape[1:]) - 1) / 2
        corners = np.array(list(itertools.product(*zip(-half, half)))) @ self.steps_mm.T
        return np.array([corners.min(axis=0), corners.max(axis=0)])


@dataclasses.dataclass(frozen=True)
class Lattice:
    """A scan on isotropic voxels along its frame's axes.

    Attributes:
        values: intensities, float32 `[channels, *spatial]`, 0 to 1.
        mask: voxels to compare, bool `[*spatial]`; None for all.
        origin_mm: position of the first voxel in the frame, `[ndim]`.
        spacing_mm: size of the voxels, in millimetres.
    """

    values: np.ndarray
    mask: np.ndarray | None
    origin_mm: np.ndarray
    spacing_mm: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along each axis."""
        return self.values.shape[1:]

    def points(self) -> np.ndarray:
        """Positions of the voxels inside the mask, `[ndim, voxels]` in the frame, in millimetres."""
        points = np.indices(self.shape).reshape(len(self.shape), -1)
        if self.mask is not None:
            points = points[:, self.mask.ravel()]
        return self.origin_mm[:, None] + self.spacing_mm * points

    def weights(self) -> np.ndarray:
        """The object's density `[*spatial]`: the mask if there is one, else the mean intensity over the channels."""
        return self.values.mean(axis=0) if self.mask is None else self.mask.astype("float32")

    def centre_of_mass_mm(self) -> np.ndarray:
        """Centre of mass in the frame, `[ndim]`: of the mask if there is one, else of the intensities."""
        return self.origin_mm + self.spacing_mm * np.array(ndimage.center_of_mass(self.weights()))

    def radius_mm(self) -> float:
        """Root mean square distance of the intensities, or of the mask, from their centre of mass."""
        weights = self.weights().ravel().astype("float64")
        points = self.origin_mm[:, None] + self.spacing_mm * np.indices(self.shape).reshape(len(self.shape), -1)
        squares = np.sum((points - self.centre_of_mass_mm()[:, None]) ** 2, axis=0)
        return float(np.sqrt(np.average(squares, weights=weights)))


def channel_pairs(moving: Lattice, fixed: Lattice) -> list[tuple[int, int]]:
    """Channels to compare, (moving, fixed): one by one if both have as many, else each with each."""
    counts = len(moving.values), len(fixed.values)
    if counts[0] == counts[1]:
        return [(number, number) for number in range(counts[0])]
    return list(itertools.product(range(counts[0]), range(counts[1])))


def homogeneous(linear: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """The matrix `[ndim + 1, ndim + 1]` of an affine map from its linear part and its translation."""
    matrix = np.eye(len(linear) + 1)
    matrix[:-1, :-1], matrix[:-1, -1] = linear, translation
    return matrix


def nearest_rotation(linear: np.ndarray) -> np.ndarray:
    """The rotation closest to a matrix `[ndim, ndim]`."""
    left, _, right = np.linalg.svd(linear)
    left[:, -1] *= np.sign(np.linalg.det(left @ right))
    return left @ right


def scan_of(array: np.ndarray, grid: Grid, mask: np.ndarray | None = None) -> Scan:
    """The `Scan` of an image `[*spatial]` or `[*spatial, channels]`, and of a bool mask `[*spatial]` or None."""
    orientation = "RAS"[: grid.ndim]
    values, ras = reoriented(np.asarray(array, "float32").reshape(*grid.shape, -1), grid, orientation)
    values = np.moveaxis(values, -1, 0)
    background = None if mask is not None else _background(values)
    if mask is not None:
        inside, _ = reoriented(np.asarray(mask, bool), grid, orientation)
    elif background is None:
        inside = np.ones(values.shape[1:], bool)
    else:
        inside = np.any([channel != empty for channel, empty in zip(values, background)], axis=0)
    box = _box(inside)
    linear = ras.affine[:-1, :-1]
    directions = nearest_rotation(linear)
    steps = directions.T @ linear
    quantum = 2.0 ** (np.round(np.log2(abs(np.linalg.det(steps)) ** (1 / grid.ndim))) - 13)
    centre_mm = ras.to_world([(part.start + part.stop - 1) / 2 for part in box])
    return Scan(
        values=values[(slice(None), *box)],
        mask=None if mask is None else inside[box],
        steps_mm=np.round(steps / quantum) * quantum,
        directions=directions,
        centre_mm=centre_mm,
        background=background,
    )


def _box(inside: np.ndarray) -> tuple[slice, ...]:
    """Slices of the smallest box that holds all true voxels."""
    (box,) = ndimage.find_objects(inside.astype("uint8"))
    return box


def _background(values: np.ndarray) -> np.ndarray | None:
    """The lowest value of each channel, if nearly all voxels on the border have it; else None."""
    inner = np.zeros(values.shape[1:], bool)
    inner[(slice(1, -1),) * inner.ndim] = True
    lowest = values.min(axis=tuple(range(1, values.ndim)))
    shares = np.mean(values[:, ~inner] == lowest[:, None], axis=1)
    return lowest if np.all(shares >= BACKGROUND_SHARE) else None


def lattice_of(scan: Scan, spacing_mm: float, margin_mm: float) -> Lattice:
    """A scan, smoothed and interpolated on isotropic voxels, its intensities stretched to [0, 1].

    Args:
        scan: scan to sample.
        spacing_mm: voxel size of the lattice, in millimetres.
        margin_mm: width of the background around the object, in millimetres, for a scan that has one.
    """
    first, last = scan.extent_mm()
    if scan.background is not None:
        first, last = first - margin_mm, last + margin_mm
    shape = tuple(np.floor((last - first) / spacing_mm + 1e-6).astype(int) + 1)
    origin = (first + last - (np.array(shape) - 1) * spacing_mm) / 2
    to_indices = np.linalg.inv(scan.steps_mm)
    linear, offset = to_indices * spacing_mm, to_indices @ origin + (np.array(scan.values.shape[1:]) - 1) / 2
    ratio = spacing_mm / np.linalg.norm(scan.steps_mm, axis=0)
    width = 0.42 * np.sqrt(np.maximum(ratio**2 - 1, 0))

    def sampled(channel: np.ndarray, background: float | None) -> np.ndarray:
        smooth = ndimage.gaussian_filter(channel, width, mode="nearest", truncate=3)
        mode, empty = ("nearest", 0.0) if background is None else ("constant", background)
        return ndimage.affine_transform(smooth, linear, offset, shape, order=1, mode=mode, cval=empty)

    backgrounds = [None] * len(scan.values) if scan.background is None else list(scan.background)
    mask = None
    if scan.mask is not None:
        mask = ndimage.affine_transform(scan.mask.astype("float32"), linear, offset, shape, order=1) > 0.5
    values = [
        _stretched(sampled(channel, background), mask, background)
        for channel, background in zip(scan.values, backgrounds)
    ]
    return Lattice(np.stack(values), mask, origin, spacing_mm)


def without_background(scan: Scan, lattice: Lattice) -> Lattice:
    """The scan's lattice, masked by the object where the scan has a background; holes in the object are filled."""
    if scan.background is None:
        return lattice
    mask = ndimage.binary_fill_holes(lattice.values.max(axis=0) > BACKGROUND_LEVEL)
    return dataclasses.replace(lattice, mask=mask)


def _stretched(values: np.ndarray, mask: np.ndarray | None, background: float | None) -> np.ndarray:
    """Values scaled to [0, 1], from the background, or else the 1st percentile, to the 99.5th percentile.

    Percentiles are taken inside the mask, or above the background, if there is one.
    """
    counted = values[mask] if mask is not None else values if background is None else values[values > background]
    # A channel of a lattice may be empty where the image is not.
    low, high = np.percentile(counted, (1, 99.5)) if counted.size else (0.0, 0.0)
    low = low if background is None else background
    return np.clip((values - low) / max(high - low, 1e-12), 0, 1).astype("float32")
