"""Brains spoiled on purpose, as scans may arrive by mistake: turned, cut, blank, noisy, or another organ.

Each kind is a function of (`Scan`, random generator, number of the pair) that returns float32 `[*spatial]` in the
scan's own intensities, on its own grid. `studies.gate` registers them.
"""

import dataclasses
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

WHITE_MATTER = (2, 41)
DEGREES = 30.0
SLAB = (0.20, 0.25)
NOISE = 0.3
VOXEL_MM, SHIFT_MM, SLIGHT_DEGREES = 2.0, 10.0, 10.0


@dataclasses.dataclass(frozen=True)
class Scan:
    """A brain and where to find other organs.

    Attributes:
        image: float32 `[*spatial]`, exactly 0 outside the brain.
        labels: FreeSurfer ids `[*spatial]`.
        organs: folder of the hippocampus scans.
    """

    image: np.ndarray
    labels: np.ndarray
    organs: Path


def flipped(axis):
    """Kind that mirrors the image along an axis of the array."""
    return lambda scan, rng, number: np.flip(scan.image, axis).copy()


def rotated(scan, rng, number):
    """The image turned by 30 degrees in one of the three planes, either way."""
    plane = ((0, 1), (0, 2), (1, 2))[number % 3]
    return ndimage.rotate(scan.image, DEGREES * rng.choice((-1, 1)), plane, reshape=False, order=1)


def without_slab(scan, rng, number):
    """The image with 20 to 25 % of the brain's length along one axis set to 0, anywhere along it."""
    axis, part = number % 3, rng.uniform(*SLAB)
    inside = np.flatnonzero((scan.image > 0).any(axis=tuple(k for k in range(scan.image.ndim) if k != axis)))
    thickness = round(part * len(inside))
    first = inside[0] + rng.integers(0, len(inside) - thickness + 1)
    image = np.moveaxis(scan.image.copy(), axis, 0)
    image[first : first + thickness] = 0.0
    return np.ascontiguousarray(np.moveaxis(image, 0, axis))


def inverted(scan, rng, number):
    """The image with inverted intensities inside the brain, as in another contrast, and 0 around it."""
    return np.where(scan.image > 0, scan.image.max() + 1 - scan.image, 0.0).astype("float32")


def other_organ(scan, rng, number):
    """A hippocampus scan stretched over the grid."""
    image = _organ(scan, rng)
    return ndimage.zoom(image, np.array(scan.image.shape) / image.shape, order=1, grid_mode=True, mode="nearest")


def small_organ(scan, rng, number):
    """A hippocampus scan in the middle of the grid, a voxel for a voxel, surrounded by 0."""
    image = _organ(scan, rng)
    whole = np.zeros(scan.image.shape, "float32")
    image = image[tuple(slice(0, size) for size in whole.shape)]
    first = [(size - length) // 2 for size, length in zip(whole.shape, image.shape)]
    whole[tuple(slice(start, start + length) for start, length in zip(first, image.shape))] = image
    return whole


def blank(scan, rng, number):
    """An image of zeros."""
    return np.zeros_like(scan.image)


def noisy(scan, rng, number):
    """The image with Rician noise of 0.3 times the intensity of white matter, everywhere."""
    white = np.median(scan.image[np.isin(scan.labels, WHITE_MATTER)])
    real, imaginary = NOISE * white * rng.standard_normal((2, *scan.image.shape), dtype="float32")
    return np.hypot(scan.image + real, imaginary)


def shifted(scan, rng, number):
    """The image 10 mm away in a random direction, as if its header were wrong."""
    direction = rng.standard_normal(scan.image.ndim)
    return ndimage.shift(scan.image, SHIFT_MM / VOXEL_MM * direction / np.linalg.norm(direction), order=1)


def slightly_rotated(scan, rng, number):
    """The image turned by 10 degrees in one of the three planes, either way, as if its header were wrong."""
    plane = ((0, 1), (0, 2), (1, 2))[number % 3]
    return ndimage.rotate(scan.image, SLIGHT_DEGREES * rng.choice((-1, 1)), plane, reshape=False, order=1)


def _organ(scan, rng):
    paths = sorted(scan.organs.glob("*.nii.gz"))
    return nibabel.load(paths[rng.integers(len(paths))]).get_fdata(dtype="float32")


KINDS = {
    "flip of axis 0": flipped(0),
    "flip of axis 1": flipped(1),
    "flip of axis 2": flipped(2),
    "rotation": rotated,
    "missing slab": without_slab,
    "inverted contrast": inverted,
    "other organ": other_organ,
    "small organ": small_organ,
    "blank": blank,
    "noise": noisy,
}
# A network may still register these, so they are no spoils: the answer decides whether they should be flagged.
MISPLACED = {"10 mm off": shifted, "10 degrees off": slightly_rotated}
