"""Augmentation: random changes of image pairs, which make up for a small number of scans."""

from collections.abc import Collection, Sequence

import numpy as np
from scipy import ndimage

from vxm_tf.data.synthetic.random_fields import random_affine, random_displacement, random_series

AUGMENTATIONS = ("flip", "affine", "deformation", "intensity")

# Standard deviations of the angle in degrees, of the logarithm of the scale, and of the shear.
AFFINE = {"degrees": 5.0, "scale": 0.06, "shear": 0.03}
# Standard deviation of translations, as a fraction of an axis.
SHIFT = 0.02
# Largest root mean square length of deformations, as a fraction of an axis.
DEFORMATION = 0.012
# Standard deviation of the logarithm of the exponent, and largest root mean square of the logarithm of the gain.
GAMMA, GAIN = 0.25, 0.2


def augmented(
    images: Sequence[np.ndarray], names: Collection[str], rng: np.random.Generator, left_right: int | None = None
) -> list[np.ndarray]:
    """Both images of a pair, changed at random.

    - "flip": mirror both images, with probability 0.5;
    - "affine": rotate, scale, shear and shift both images alike;
    - "deformation": deform each image smoothly and independently;
    - "intensity": apply an exponent, which keeps signs, and a smooth gain to each image independently.

    The affine map and the deformation are applied in one interpolation, which repeats the images' edges.

    Args:
        images: two float32 arrays `[*spatial, channels]` on one grid, as a rule in [0, 1].
        names: any of `AUGMENTATIONS`.
        rng: a NumPy generator.
        left_right: the axis that "flip" mirrors; None for no flips.

    Returns:
        Two float32 arrays of the shapes of `images`, in [0, 1] or, where an image exceeds it, in the image's range.
    """
    if "flip" in names and left_right is not None and rng.random() < 0.5:
        images = [np.flip(image, left_right) for image in images]
    if "affine" in names or "deformation" in names:
        images = _moved(images, names, rng)
    if "intensity" in names:
        images = [_relit(image, rng) for image in images]
    return [np.ascontiguousarray(image, "float32") for image in images]


def check_augmentations(names: Collection[str]) -> None:
    """Raise `ValueError` for a name that is not in `AUGMENTATIONS`."""
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(f"There is no augmentation {name!r}; choose from {', '.join(AUGMENTATIONS)}.")


def _moved(images: Sequence[np.ndarray], names: Collection[str], rng: np.random.Generator) -> list[np.ndarray]:
    shape = images[0].shape[:-1]
    centre, sizes = (np.array(shape) - 1) / 2, np.array(shape)
    indices = np.moveaxis(np.indices(shape, dtype="float32"), 0, -1)
    matrix, shift = np.eye(len(shape)), np.zeros(len(shape))
    if "affine" in names:
        matrix, shift = random_affine(rng, len(shape), **AFFINE), rng.normal(0.0, SHIFT, len(shape)) * sizes
    moved = []
    for image in images:
        locations = indices
        if "deformation" in names:
            locations = indices + random_displacement(rng, shape, rng.uniform(0.0, DEFORMATION) * sizes.mean())
        locations = (locations - centre.astype("float32")) @ matrix.T.astype("float32")
        locations = np.moveaxis(locations + (centre + shift).astype("float32"), -1, 0)
        channels = [ndimage.map_coordinates(c, locations, order=1, mode="nearest") for c in np.moveaxis(image, -1, 0)]
        moved.append(np.stack(channels, axis=-1))
    return moved


def _relit(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gain = np.exp(rng.uniform(0.0, GAIN) * random_series(rng, image.shape[:-1], np.cos, scales=(0.4,)))
    # Some normalisations leave values below 0, of which a power would be NaN, or above 1; they are not cut off.
    relit = np.sign(image) * np.abs(image) ** np.exp(rng.normal(0.0, GAMMA)) * gain[..., None]
    return np.clip(relit, min(0.0, float(image.min())), max(1.0, float(image.max())))
